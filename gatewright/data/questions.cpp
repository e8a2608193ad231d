#include "gatewright/data/questions.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/json_text.h"
#include "gatewright/base/shown.h"
#include "gatewright/data/locate.h"

namespace gw::inline data {
namespace {

constexpr uint64_t kQuestionFileBytes = uint64_t{1} << 30;
constexpr int64_t kGapsApart = 4;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const auto first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

/// Characters of UTF-8 text; bytes that are none stand for themselves.
std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> all;
  for (size_t at = 0; at < text.size();) {
    size_t size = 1;
    while (at + size < text.size() && (static_cast<unsigned char>(text[at + size]) & 0xC0u) == 0x80u) ++size;
    all.push_back(text.substr(at, size));
    at += size;
  }
  return all;
}

/// A text or a number under `key`, "" where there is none.
std::string text_of(const Json& line, const char* key, const std::string& where) {
  if (!line.contains(key) || line.at(key).is_null()) return "";
  const auto& value = line.at(key);
  GW_CHECK(value.is_string() || value.is_number(), "questions: expected text for \"{}\" at {}, got {}", key,
           where, value.type_name());
  return value.is_string() ? value.text() : value.dump();
}

Question question_of(std::string_view text, const std::string& where) {
  GW_CHECK(text.size() <= kLongestQuestion, "questions: expected at most {} bytes at {}, got {}",
           kLongestQuestion, where, text.size());
  const auto line = parse_json(text, where);
  GW_CHECK(line.is_object(), R"(questions: expected {{"text": …, "answer": …}} at {}, got {})", where,
           line.type_name());
  Question question{text_of(line, "text", where), text_of(line, "answer", where),
                    text_of(line, "category", where)};
  GW_CHECK(!question.text.empty() && !question.answer.empty(),
           R"(questions: expected a "text" and an "answer" at {}, got "{}" and "{}")", where,
           shown(question.text, 40), shown(question.answer, 40));
  return question;
}

std::string plain_text(const std::string& path) {
  auto text = read_file(path, kQuestionFileBytes);
  for (char& c : text) {
    if (c != '\n' && c != '\t' && (c < ' ' || c > '~')) c = '?';
  }
  return text;
}

/// Places to hide, ascending: a random choice among those that lie four apart.
std::vector<int64_t> gap_places(const GapOptions& o, const Rng& rng) {
  std::vector<int64_t> places;
  const int64_t slots = (o.length - 1) / kGapsApart;
  for (const int64_t slot : rng.permutation(slots)) {
    if (static_cast<int64_t>(places.size()) == o.gaps) break;
    places.push_back(1 + slot * kGapsApart);
  }
  std::sort(places.begin(), places.end());
  return places;
}

Question gap_question(std::string_view piece, const std::vector<int64_t>& places,
                      const std::string& category) {
  Question question{"", "", category};
  size_t next = 0;
  for (size_t i = 0; i < piece.size(); ++i) {
    if (next < places.size() && static_cast<size_t>(places[next]) == i) {
      question.text += kGap, question.answer += piece[i];
      ++next;
    } else {
      question.text += piece[i];
    }
  }
  return question;
}

std::vector<Question> shuffled(const std::vector<Question>& questions, const Rng& rng) {
  std::vector<Question> out;
  out.reserve(questions.size());
  for (const int64_t i : rng.permutation(static_cast<int64_t>(questions.size())))
    out.push_back(questions[static_cast<size_t>(i)]);
  return out;
}

bool named_in(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::vector<Question> read_questions(const std::string& path) {
  const auto found = find_file("questions", path);
  const auto text = read_file(found, kQuestionFileBytes);
  std::vector<Question> questions;
  size_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    const auto line = trimmed(std::string_view(text).substr(at, end - at));
    at = end + 1, ++number;
    if (!line.empty()) questions.push_back(question_of(line, fmt::format("{}:{}", shown(found), number)));
  }
  GW_CHECK(!questions.empty(), "questions: expected JSON lines in {}, got none", shown(found));
  return questions;
}

const std::vector<std::string>& answer_qualities() {
  static const std::vector<std::string> kKinds{"exact", "characters"};
  return kKinds;
}

double answer_quality(const std::string& kind, std::string_view right, std::string_view told) {
  if (kind == "exact") return trimmed(right) == trimmed(told) ? 1 : 0;
  GW_CHECK(kind == "characters", "questions: unknown quality \"{}\"{}", kind,
           near_miss(kind, answer_qualities()));
  const auto a = characters(right), b = characters(told);
  const size_t most = std::max(a.size(), b.size());
  if (most == 0) return 1;
  size_t equal = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) equal += a[i] == b[i] ? 1 : 0;
  return static_cast<double>(equal) / static_cast<double>(most);
}

void GapOptions::fields(OptionVisitor& v) {
  v.texts("files", files, "text files, each a category: paths, names in $GATEWRIGHT_DATA, or the project's");
  v.integer("length", length, "characters of a piece", 8, 1 << 16);
  v.integer("gaps", gaps, "hidden characters of a piece", 1, 1 << 14);
  v.integer("most", most, "pieces of a file at most", 1, 1000000);
  v.real("held_out", held_out, "share at the end of a file that pieces are cut from", 0.01, 1);
}

std::vector<Question> gap_questions(const GapOptions& o, const Rng& rng) {
  GW_CHECK(!o.files.empty(), "questions: expected at least one file for gaps, got none");
  GW_CHECK(o.gaps <= (o.length - 1) / kGapsApart,
           "questions: expected at most {} gaps in {} characters, got {}; lower gaps or raise length",
           (o.length - 1) / kGapsApart, o.length, o.gaps);
  std::vector<Question> all;
  std::set<std::string> names;
  for (const auto& file : o.files) {
    const auto path = find_file("questions", file);
    const auto name = std::filesystem::path(path).stem().string();
    GW_CHECK(names.insert(name).second, "questions: expected files of different names, got \"{}\" twice",
             shown(name));
    const auto text = plain_text(path);
    const auto size = static_cast<int64_t>(text.size());
    const auto begin = size - static_cast<int64_t>(std::floor(o.held_out * static_cast<double>(size)));
    const int64_t pieces = std::min((size - begin) / o.length, o.most);
    GW_CHECK(pieces >= 1,
             "questions: expected at least {} characters in the last {} of \"{}\", got {}; give a longer "
             "file or a shorter length",
             o.length, o.held_out, shown(path), size - begin);
    for (int64_t p = 0; p < pieces; ++p) {
      const auto piece = std::string_view(text).substr(static_cast<size_t>(begin + p * o.length),
                                                       static_cast<size_t>(o.length));
      all.push_back(gap_question(piece, gap_places(o, rng.fork(name, static_cast<uint64_t>(p))), name));
    }
  }
  return all;
}

QuestionSplit split_questions(const std::vector<Question>& questions, const std::vector<std::string>& outside,
                              const SplitShares& shares, const Rng& rng) {
  QuestionSplit split;
  std::set<std::string> all;
  std::vector<Question> inside;
  for (const auto& question : questions) {
    GW_CHECK(!question.category.empty(),
             "questions: expected a \"category\" for every question that teaches the router, got none for "
             "\"{}\"",
             shown(question.text, 40));
    all.insert(question.category);
    (named_in(outside, question.category) ? split.outside : inside).push_back(question);
  }
  for (const auto& name : outside)
    GW_CHECK(all.count(name) > 0, "questions: expected questions of the outside category \"{}\", got none{}",
             name, near_miss(name, {all.begin(), all.end()}));
  for (const auto& name : all)
    if (!named_in(outside, name)) split.categories.push_back(name);
  GW_CHECK(split.categories.size() >= 2, "questions: expected at least two categories to route, got {}",
           split.categories.size());
  inside = shuffled(inside, rng.fork("inside")), split.outside = shuffled(split.outside, rng.fork("outside"));
  const auto count = static_cast<double>(inside.size());
  const auto first = static_cast<size_t>(std::llround(shares.router * count)),
             second = static_cast<size_t>(std::llround((shares.router + shares.scores) * count));
  GW_CHECK(first >= 1 && second > first && second < inside.size(),
           "questions: expected questions for the router, the scores and the test, got {} in all for shares "
           "{} and {}",
           inside.size(), shares.router, shares.scores);
  const auto at = [&](size_t i) { return inside.begin() + static_cast<std::ptrdiff_t>(i); };
  split.router.assign(inside.begin(), at(first)), split.scores.assign(at(first), at(second));
  split.test.assign(at(second), inside.end());
  return split;
}

}  // namespace gw::inline data
