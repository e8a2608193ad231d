#pragma once
// Questions in words with answers that are known: what experts are scored on that are programs.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gatewright/base/options.h"
#include "gatewright/base/rng.h"

namespace gw::inline data {

struct Question {
  std::string text, answer;
  std::string category;  ///< "": not told
  bool operator==(const Question&) const = default;
};

inline constexpr size_t kLongestQuestion = size_t{1} << 20;  ///< bytes of a line of a file of questions

/// Questions of a file of JSON lines, {"text": …, "answer": …, "category": …} each; other keys are ignored, a
/// category may be missing, an answer may be a number.
/// Errors: IoError as find_file; ValueError naming the line for what is no such object, for texts that are
///         empty or not UTF-8, lines longer than kLongestQuestion, and a file without questions.
std::vector<Question> read_questions(const std::string& path);

/// How good an answer is, 0 … 1.
///   exact       1 where both are equal, blanks around them aside
///   characters  the share of equal characters at equal places, over the longer of the two
/// Errors: ValueError for another kind.
double answer_quality(const std::string& kind, std::string_view right, std::string_view told);
const std::vector<std::string>& answer_qualities();

/// Gaps to fill in pieces of text files: `length` characters of which `gaps`, at least four apart, are hidden
/// by "▁"; the answer is the hidden characters in their order. Each file is a category, named after it.
struct GapOptions : OptionSet {
  std::vector<std::string> files;
  int64_t length = 400, gaps = 40, most = 500;
  double held_out = 0.4;
  void fields(OptionVisitor& v) override;
};

/// What stands for a hidden character.
inline constexpr const char* kGap = "▁";

/// Pieces that follow each other without overlap in the last `held_out` of every file, `most` of each at
/// most: what comes before is for the experts to learn from. Characters that are not printable ASCII become
/// "?". Errors: IoError as find_file; ValueError for no files, two of one name, files without a whole piece,
/// and
///         more gaps than fit.
std::vector<Question> gap_questions(const GapOptions& options, const Rng& rng);

/// Questions by what they are for, in a random order. A category in `outside` is one that the router must
/// not know: all its questions are in `outside`.
struct QuestionSplit {
  std::vector<std::string> categories;  ///< sorted, without those outside
  std::vector<Question> router, scores, test, outside;
};
struct SplitShares {
  double router = 0.4, scores = 0.3;  ///< the rest is the test's
};
/// Errors: ValueError for an outside category that no question has, fewer than two other categories, a
///         question without a category, and shares that leave a part empty.
QuestionSplit split_questions(const std::vector<Question>& questions, const std::vector<std::string>& outside,
                              const SplitShares& shares, const Rng& rng);

}  // namespace gw::inline data
