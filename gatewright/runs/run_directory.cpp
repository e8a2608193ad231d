#include "gatewright/runs/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <regex>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/json_text.h"
#include "gatewright/base/shown.h"

namespace gw::inline runs {
namespace {

namespace fs = std::filesystem;
constexpr size_t kScalarsPerList = 64;  // above this a list is a distribution, not a set of named curves

constexpr uint64_t kLogLimit_bytes = uint64_t{8} << 30;  // ten million records and more

/// The lines of metrics.jsonl as text, without a damaged last one.
std::vector<std::pair<std::string, Json>> read_lines(const std::string& path) {
  const std::string bytes = read_file(path, kLogLimit_bytes);
  std::vector<std::pair<std::string, Json>> lines;
  for (size_t begin = 0; begin < bytes.size();) {
    const size_t end = bytes.find('\n', begin);
    if (end == std::string::npos) break;  // cut: the process died while it wrote
    std::string line = bytes.substr(begin, end - begin);
    Json record = Json::parsed(line).value_or(Json());
    const bool good = record.is_object();
    begin = end + 1;
    if (!good && begin >= bytes.size()) break;
    GW_CHECK(good, "metrics: expected a JSON object in line {} of {}, got \"{}\"; repair or remove the line",
             lines.size() + 1, path, line.substr(0, 40));
    lines.emplace_back(std::move(line), std::move(record));
  }
  return lines;
}

int64_t record_step(const Json& record) {
  const auto step = record.find("step");
  return step != record.end() && step->is_number_integer() ? step->get<int64_t>() : 0;
}

/// An event file that is long enough can still hold a changed byte: its frames tell.
void check_events(const std::string& path, uint64_t bytes) {
  const std::string content = read_file(path, kLogLimit_bytes);
  const uint64_t whole = whole_frames(std::string_view(content).substr(0, bytes));
  GW_CHECK(whole == bytes,
           "run directory: expected whole records in the first {} bytes of {}, got a damaged one at byte {}; "
           "restore the file from a copy, or "
           "train again into another directory",
           bytes, shown(path), whole);
}

/// A place of a document, "/objective/beta", and what two documents hold there.
struct Difference {
  std::string place, stored, given;
};

std::string value_at(const Json& document, const std::string& key) {
  return document.contains(key) ? dump_json(document.at(key)).substr(0, 80) : "nothing";
}

/// The first place at which the documents differ and none of `may_differ` lies at or above it.
std::optional<Difference> first_difference(const Json& stored, const Json& given,
                                           const std::vector<std::string>& may_differ,
                                           const std::string& place = "") {
  if (stored == given || std::find(may_differ.begin(), may_differ.end(), place) != may_differ.end())
    return std::nullopt;
  if (!stored.is_object() || !given.is_object())
    return Difference{place.empty() ? "/" : place, dump_json(stored).substr(0, 80),
                      dump_json(given).substr(0, 80)};
  Json either = stored;
  either.update(given);
  for (const auto& [key, value] : either.items()) {
    const std::string below = place + "/" + key;
    if (stored.contains(key) && given.contains(key)) {
      if (auto found = first_difference(stored.at(key), given.at(key), may_differ, below)) return found;
    } else if (std::find(may_differ.begin(), may_differ.end(), below) == may_differ.end()) {
      return Difference{below, value_at(stored, key), value_at(given, key)};
    }
  }
  return std::nullopt;
}

/// True for what write_atomic had not finished of a run's own files: "<file>.<process>-<number>.tmp". Not of
/// report.html, which the command `report` writes without the lock, and of nobody else's files: the directory
/// may prove to be a stranger's.
bool unfinished_write(const std::string& name) {
  static const std::regex pattern(
      "((recipe|evaluation|samples|rates|results)\\.json|metrics\\.jsonl?|routes\\.[a-z]+|(last|"
      "best)\\.safetensors|"
      "events\\.out\\.tfevents\\.gatewright)\\.[0-9]+-[0-9]+\\.tmp");
  return std::regex_match(name, pattern);
}

/// A process killed while it wrote leaves its temporary file. Nobody else writes here while we hold the lock.
void remove_unfinished_writes(const std::string& directory) {
  std::vector<fs::path> orphans;
  for (const auto& item : fs::directory_iterator(directory)) {
    if (item.is_regular_file() && unfinished_write(item.path().filename().string()))
      orphans.push_back(item.path());
  }
  std::error_code ignored;  // a directory that cannot be written is told by what is written next
  for (const auto& path : orphans) fs::remove(path, ignored);
}

}  // namespace

std::vector<Json> read_records(const std::string& path) {
  std::vector<Json> records;
  for (auto& [line, record] : read_lines(path)) records.push_back(std::move(record));
  return records;
}

RunDirectory::RunDirectory(std::string path, const Json& recipe, Options options)
    : path_(std::move(path)), options_(std::move(options)) {
  GW_CHECK(static_cast<bool>(options_.wall_time_s),
           "run directory: expected a time source, got none; set Options::wall_time_s");
  std::error_code error;
  fs::create_directories(path_, error);
  if (error)
    throw IoError(fmt::format("run directory: expected to create {}, got \"{}\"; choose another place", path_,
                              error.message()));
  lock();
  try {
    if (lock_ >= 0) remove_unfinished_writes(path_);
    options_.resume ? resume(recipe) : start(recipe);
    open_files();
  } catch (...) {
    close_files();
    ::close(lock_);
    throw;
  }
}

RunDirectory::~RunDirectory() {
  close_files();
  ::close(lock_);
}

bool RunDirectory::holds_run(const std::string& path) { return fs::exists(path + "/" + kRecipeFile); }

void RunDirectory::lock() {
  lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ < 0)
    throw IoError(
        fmt::format("run directory: expected to open {}, got \"{}\"; check the path and its permissions",
                    path_, std::strerror(errno)));
  if (::flock(lock_, LOCK_EX | LOCK_NB) == 0) return;
  const bool held = errno == EWOULDBLOCK;
  ::close(lock_);
  // A file system without locks (some network mounts) is no reason to refuse the run: only a held lock is.
  GW_CHECK(!held,
           "run directory: expected {} to be free, got one that another process writes to; wait for it or "
           "choose another directory",
           path_);
  lock_ = -1;
}

void RunDirectory::start(const Json& recipe) {
  GW_CHECK(!holds_run(path_),
           "run directory: expected a new directory, got {}, which holds a run; resume it or choose another "
           "directory",
           path_);
  const fs::directory_iterator first(path_);
  GW_CHECK(first == fs::directory_iterator(),
           "run directory: expected an empty directory, got {}, which holds {}; choose another directory",
           path_, first == fs::directory_iterator() ? "nothing" : first->path().filename().string());
  write_json(kRecipeFile, recipe);
}

void RunDirectory::resume(const Json& recipe) {
  GW_CHECK(holds_run(path_),
           "run directory: expected a run to resume in {}, got no {}; start without resuming", path_,
           kRecipeFile);
  Json stored = read_json(file(kRecipeFile));
  if (options_.brought_up) stored = options_.brought_up(std::move(stored));
  const Json given =
      Json::parse(dump_json(recipe));  // as it would have been stored: not-a-number is null, and so on
  const auto found = first_difference(stored, given, options_.may_differ);
  GW_CHECK(!found,
           "run directory: expected the recipe of the run in {} at {}: {}, got {}; resume with the stored "
           "recipe, or start a new run",
           path_, found->place, found->stored, found->given);
}

void RunDirectory::open_files() {
  metrics_ = std::make_unique<LogFile>(file(kMetricsFile));
  if (options_.tensorboard) events_ = std::make_unique<EventWriter>(file(kEventFile), options_.wall_time_s());
}

void RunDirectory::close_files() {
  metrics_.reset();
  events_.reset();
}

void RunDirectory::append(const Json& record) {
  const bool good = record.is_object() && record.contains("step") && record["step"].is_number_integer() &&
                    record.contains("kind") && record["kind"].is_string();
  if (!good)
    fail("metrics: expected an object with an integer \"step\" and a text \"kind\", got {}; add them",
         dump_json(record).substr(0, 80));
  metrics_->append(dump_json(record) + "\n");
  if (events_) append_events(record);
}

void RunDirectory::append_events(const Json& record) {
  const int64_t step = record_step(record);
  const double now = options_.wall_time_s();
  for (const auto& [name, value] : record.items()) {
    const std::string tag = record["kind"].get<std::string>() + "/" + name;
    if (name == "step") continue;
    if (value.is_number()) events_->scalar(now, step, tag, value.get<float>());
    if (!value.is_array()) continue;
    std::vector<float> numbers;
    for (const Json& element : value)
      if (element.is_number()) numbers.push_back(element.get<float>());
    if (numbers.size() > kScalarsPerList) {
      events_->histogram(now, step, tag, numbers);
    } else if (numbers.size() == value.size()) {
      for (size_t i = 0; i < numbers.size(); ++i)
        events_->scalar(now, step, tag + "/" + std::to_string(i), numbers[i]);
    }
  }
}

Json RunDirectory::marks() {
  Json marks{{kMetricsFile, to_json(metrics_->mark())}};
  if (events_) marks[kEventFile] = to_json(events_->mark());
  return marks;
}

void RunDirectory::rewind(const Json& marks) {
  std::vector<std::pair<std::string, uint64_t>> files;
  for (const char* name : {kMetricsFile, kEventFile}) {
    const bool kept = marks.is_object() && marks.contains(name);
    const LogMark mark = kept ? log_mark(marks[name], name) : LogMark{};
    if (kept) check_log(file(name), mark);
    if (kept && name == kEventFile) check_events(file(name), mark.bytes);
    if (kept || fs::exists(file(name))) files.emplace_back(name, mark.bytes);
  }
  GW_CHECK(!marks.is_null() || metrics_->bytes() == 0,
           "run directory: expected a checkpoint in {}, whose {} has {} bytes of records, got none; restore "
           "the checkpoint from a copy, or "
           "train again into another directory",
           shown(path_), kMetricsFile, metrics_->bytes());
  close_files();  // opened again they count anew
  for (const auto& [name, bytes] : files) cut_log(file(name), bytes);
  open_files();
}

void RunDirectory::write_json(const std::string& name, const Json& document) {
  GW_CHECK(!name.empty() && name.find('/') == std::string::npos,
           "run directory: expected a plain file name, got \"{}\"; leave the folder out", name);
  write_atomic(file(name), dump_json(document, 2) + "\n");
}

}  // namespace gw::inline runs
