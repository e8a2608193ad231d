#include "gatewright/train/program_expert.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "gatewright/base/check.h"
#include "gatewright/base/json_text.h"
#include "gatewright/base/shown.h"
#include "gatewright/data/locate.h"

namespace gw::inline train {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr size_t kMostQuestionBytes = size_t{1} << 20;
constexpr size_t kShownAnswer = 80;
constexpr std::string_view kDataWord = "data:";

double seconds_since(SteadyClock::time_point begin) {
  return std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

}  // namespace

void ProgramOptions::fields(OptionVisitor& v) {
  v.texts("command", command, "words of the program; data:NAME is the path of a data file");
  v.real("price", price, "of a question that is sent to it", 0, 1e12);
  v.real("timeout", timeout, "seconds for an answer", 1e-3, 86400);
  v.real("start_timeout", start_timeout, "seconds for the first answer after a start", 1e-3, 86400);
  v.integer("retries", retries, "times that it is asked again after a failure", 0, 100);
  v.integer("give_up", give_up, "failures in a row after which it is asked no more", 1, 1000000);
  v.text("speaks", speaks, "lines of JSON, or lines of text", {"json", "text"});
  v.flag("once", once, "a process for every question, which gets the end of its input after it");
}

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = std::getenv("PATH");
  const std::string folders = path == nullptr ? "/usr/bin:/bin" : path;
  for (size_t at = 0; at <= folders.size();) {
    const auto end = std::min(folders.find(':', at), folders.size());
    const auto folder = folders.substr(at, end - at);
    at = end + 1;
    const auto there = (folder.empty() ? "." : folder) + "/" + name;
    std::error_code ignored;
    if (std::filesystem::is_regular_file(there, ignored) && ::access(there.c_str(), X_OK) == 0) return there;
  }
  return "";
}

ProgramExpert::ProgramExpert(std::string name, ProgramOptions options)
    : name_(std::move(name)), options_(std::move(options)) {
  GW_CHECK(!options_.command.empty() && !options_.command[0].empty(),
           "experts: expected a command for the expert \"{}\", got none", shown(name_));
}

std::string ProgramExpert::message(const std::string& text, int64_t id) const {
  GW_CHECK(text.size() <= kMostQuestionBytes, "experts: expected a question of at most {} bytes, got {}",
           kMostQuestionBytes, text.size());
  if (options_.speaks == "json") return dump_json({{"id", id}, {"text", text}});
  GW_CHECK(text.find('\n') == std::string::npos,
           "experts: expected a question on one line for \"{}\", which speaks text, got several", name_);
  return text;
}

ProgramReply ProgramExpert::ask(const std::string& text, int64_t most_attempts) {
  const auto begin = SteadyClock::now();
  ProgramReply reply;
  reply.why = "asked no more after " + std::to_string(options_.give_up) + " failures in a row";
  const int64_t most = std::min(most_attempts, options_.retries + 1);
  for (int64_t i = 0; i < most && !reply.answered && !given_up(); ++i) {
    const int64_t id = ++asked_, declined = record_.declined;
    attempt(message(text, id), id, reply);
    if (record_.declined > declined) break;  // it would decline again
  }
  reply.seconds = seconds_since(begin);
  record_.attempts += reply.attempts, record_.seconds += reply.seconds;
  if (!reply.answered) return reply;
  reply.why.clear();
  ++record_.answers;
  in_a_row_ = 0;
  return reply;
}

void ProgramExpert::failed(int64_t& count, std::string why, ProgramReply& reply) {
  ++count, ++in_a_row_;
  reply.why = std::move(why);
  process_.reset();
}

bool ProgramExpert::started(ProgramReply& reply) {
  if (process_) return true;
  auto words = options_.command;
  words[0] = find_program(words[0]);
  if (words[0].empty()) {
    failed(record_.missing, fmt::format("no program \"{}\" in PATH", shown(options_.command[0])), reply);
    return false;
  }
  try {
    process_ = std::make_unique<ChildProcess>(ChildProcess::Command{words, {}, /*standard=*/true});
  } catch (const IoError& error) {
    failed(record_.missing, error.what(), reply);
    return false;
  }
  fresh_ = true;
  ++record_.starts;
  return true;
}

/// Waits for a line; false if none came in time, or never will.
bool ProgramExpert::heard(int64_t most_ms, std::string& line, ProgramReply& reply) {
  const auto end = SteadyClock::now() + std::chrono::milliseconds(most_ms);
  while (true) {
    const auto lines = process_->received();
    if (lines.size() > 1) {
      failed(record_.nonsense, fmt::format("{} lines in place of one answer", lines.size()), reply);
      return false;
    }
    if (!lines.empty()) {
      line = lines[0];
      return true;
    }
    if (process_->ended()) {
      constexpr int64_t kMostToEnd_ms = 500;
      const auto how = process_->ends_within(kMostToEnd_ms) ? process_->wait() : "closed its output";
      failed(record_.deaths, "ended without an answer" + (how.empty() ? "" : ": " + how), reply);
      return false;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - SteadyClock::now()).count();
    if (left < 0) return false;
    pollfd ready{process_->line(), POLLIN, 0};
    ::poll(&ready, 1, static_cast<int>(std::min<int64_t>(left + 1, 1000)));
  }
}

void ProgramExpert::attempt(const std::string& message, int64_t id, ProgramReply& reply) {
  if (!started(reply)) return;
  const double seconds = fresh_ ? options_.start_timeout : options_.timeout;
  const auto most_ms = static_cast<int64_t>(seconds * 1000);
  std::string line;
  try {
    if (!fresh_ && !process_->received().empty()) {
      failed(record_.nonsense, "spoke without being asked", reply);
      return;
    }
    ++reply.attempts;
    const auto before = record_.failures();
    bool told = process_->send(message, most_ms);
    if (told && options_.once) process_->finish_sending();
    told = heard(told ? most_ms : 0, line, reply);  // who is gone may have said something before
    if (!told) {
      if (record_.failures() == before)
        failed(record_.timeouts, fmt::format("no answer in {:g} s", seconds), reply);
      return;
    }
    take(line, id, reply);
  } catch (const ValueError& error) {  // a line without end
    failed(record_.nonsense, error.what(), reply);
  }
}

void ProgramExpert::take(const std::string& line, int64_t id, ProgramReply& reply) {
  if (invalid_utf8(line) != std::string_view::npos) {
    failed(record_.nonsense, "expected text in UTF-8, got \"" + shown(line, kShownAnswer) + "\"", reply);
    return;
  }
  if (options_.speaks == "text") {
    reply.answer = line;
  } else {
    const auto told = parse_json(line, "the answer");  // its ValueError is one about nonsense
    if (told.is_object() && told.contains("error")) {
      const auto& why = told.at("error");
      ++record_.declined;
      reply.why = "declined: " + shown(why.is_string() ? why.text() : why.dump(), kShownAnswer);
      fresh_ = false;
      return;
    }
    const bool fits = told.is_object() && told.contains("answer") && !told.at("answer").is_null() &&
                      (!told.contains("id") || told.at("id") == id);
    if (!fits) {
      failed(record_.nonsense,
             fmt::format(R"(expected {{"id": {}, "answer": …}}, got {})", id, shown(line, kShownAnswer)),
             reply);
      return;
    }
    reply.answer = told.at("answer");
  }
  reply.answered = true;
  fresh_ = false;
  if (options_.once) process_.reset();
}

ProgramOptions with_data_paths(const std::string& where, ProgramOptions options) {
  for (auto& word : options.command) {
    if (std::string_view(word).starts_with(kDataWord)) word = find_file(where, word.substr(kDataWord.size()));
  }
  return options;
}

std::vector<std::pair<std::string, ProgramOptions>> read_programs(const std::string& where,
                                                                  const Json& table) {
  GW_CHECK(table.is_object() && !table.empty(),
           "{}: expected a table of experts, small = {{ command = […], price = 1 }}, got {}", where,
           table.empty() ? "none" : table.type_name());
  std::vector<std::pair<std::string, ProgramOptions>> programs;
  for (const auto& [name, values] : table.items()) {
    GW_CHECK(is_part_name(name), "{}: expected names of small letters, digits and _ for experts, got \"{}\"",
             where, shown(name));
    ProgramOptions options;
    parse_options(where + "." + name, values, options);
    GW_CHECK(!options.command.empty() && !options.command[0].empty(),
             "{}.{}: expected a \"command\", got none", where, name);
    programs.emplace_back(name, std::move(options));
  }
  return programs;
}

}  // namespace gw::inline train
