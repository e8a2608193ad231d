#pragma once
// SentencePiece's compiled table of character replacements: a double array and the texts that it points to.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gw::inline text {

class Charsmap {
 public:
  /// Errors: ValueError with `place` for tables that are cut or whose parts do not fit.
  Charsmap(std::string_view bytes, const std::string& place);

  struct Match {
    size_t size = 0;  ///< bytes of the text that are replaced
    std::string_view replacement;
  };
  /// The longest key that begins `text`, as SentencePiece replaces.
  std::optional<Match> longest(std::string_view text) const { return match(text, false); }
  /// The shortest key that begins `text`, as Hugging Face's Precompiled replaces.
  std::optional<Match> shortest(std::string_view text) const { return match(text, true); }

 private:
  std::optional<Match> match(std::string_view text, bool first) const;

  std::vector<uint32_t> units_;
  std::string texts_;  ///< each ends with a zero byte
};

}  // namespace gw::inline text
