#include <string>
#include <string_view>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/regex.h"

namespace gw::inline text {
namespace {

// White_Space. PCRE2's \s has U+180E besides, which is no space since Unicode 6.3.
constexpr std::string_view kSpaces =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{"
    "3000}";
// PCRE2 10.42's \w lacks marks and connectors.
constexpr std::string_view kWords = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
constexpr std::string_view kHex = "0-9a-fA-F";  // \h is horizontal space in PCRE2

std::string_view members(char letter) {
  switch (letter) {
    case 's':
    case 'S':
      return kSpaces;
    case 'w':
    case 'W':
      return kWords;
    case 'h':
    case 'H':
      return kHex;
    default:
      return {};
  }
}

class Rewriter {
 public:
  Rewriter(const std::string& pattern, const std::string& place) : pattern_(pattern), place_(place) {}

  std::string rewritten() {
    while (at_ < pattern_.size()) {
      if (pattern_[at_] == '\\')
        escape();
      else if (pattern_[at_] == '[')
        open_class();
      else if (pattern_[at_] == ']' && in_class_)
        in_class_ = false, copy(1);
      else if (in_class_ && pattern_.compare(at_, 2, "&&") == 0)
        refuse("&& in a class");
      else
        copy(1);
    }
    return out_;
  }

 private:
  void copy(size_t count) {
    out_.append(pattern_, at_, count);
    at_ += count;
  }
  [[noreturn]] void refuse(const char* what) const {
    fail("{}: expected a pattern that PCRE2 reads as its author did, got {} at byte {} of \"{}\"", place_,
         what, at_, shown(pattern_, 200));
  }
  void escape() {
    if (at_ + 1 >= pattern_.size()) return copy(1);  // PCRE2 says what is wrong
    const char letter = pattern_[at_ + 1];
    const std::string_view set = members(letter);
    if (set.empty()) return copy(2);
    const bool other = letter >= 'A' && letter <= 'Z';
    if (in_class_ && other) {
      if (letter != 'S') refuse("a negated shorthand in a class");
      out_ += "\\S";  // takes U+180E for a space, as PCRE2 does
    } else if (in_class_) {
      out_ += set;
    } else {
      out_.append(other ? "[^" : "[").append(set).append("]");
    }
    at_ += 2;
  }
  void open_class() {
    if (in_class_) {
      if (pattern_.compare(at_, 2, "[:") != 0) refuse("a class inside a class");
      const size_t end = pattern_.find(":]", at_);
      if (end == std::string::npos) refuse("an unfinished class");
      return copy(end + 2 - at_);
    }
    in_class_ = true;
    copy(1);
    if (at_ < pattern_.size() && pattern_[at_] == '^') copy(1);
    if (at_ < pattern_.size() && pattern_[at_] == ']') copy(1);  // the first one is a member
  }

  const std::string& pattern_;
  const std::string& place_;
  std::string out_;
  size_t at_ = 0;
  bool in_class_ = false;
};

}  // namespace

std::string pcre_pattern(const std::string& pattern, const std::string& place) {
  return Rewriter(pattern, place).rewritten();
}

}  // namespace gw::inline text
