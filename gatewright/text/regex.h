#pragma once
// Regular expressions over Unicode, as tokenizer files mean them.
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace gw::inline text {

/// A compiled pattern. Files write for Oniguruma (Hugging Face) or for Rust's engine; where PCRE2 means
/// something else by the same words the pattern is rewritten (regex_syntax.cpp) or refused. Immutable:
/// threads may share one.
class Regex {
 public:
  /// Errors: ValueError with `place`, the pattern and the byte where it stops being one, for patterns above
  /// 64 KiB,
  ///         and for what PCRE2 would read otherwise without a word (nested classes, && in a class).
  Regex(const std::string& pattern, const std::string& place);
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;
  ~Regex();

  /// Calls `found(begin, end)` for the matches in `text` (UTF-8) from left to right. An empty match right
  /// behind another one is passed over. Errors: ValueError when a match takes more than ten million steps or
  /// more than 8 MiB of stack.
  void each_match(std::string_view text, const std::function<void(size_t, size_t)>& found) const;
  const std::string& pattern() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The pattern in PCRE2's words. Errors: ValueError as Regex's constructor.
std::string pcre_pattern(const std::string& pattern, const std::string& place);

}  // namespace gw::inline text
