#pragma once
// The text of a template as tokens.
#include <string>
#include <string_view>
#include <vector>

#include "gatewright/text/template/value.h"

namespace gw::inline text::jinja {

struct Token {
  enum class Type : uint8_t {
    data,
    variable_begin,
    variable_end,
    block_begin,
    block_end,
    name,
    literal,
    sign,
    end
  };
  Type type = Type::end;
  int line = 1;
  std::string text;  ///< of data, a name or a sign
  Value value;       ///< of a literal

  bool is_name(std::string_view word) const { return type == Type::name && text == word; }
  bool is_sign(std::string_view which) const { return type == Type::sign && text == which; }
};

/// What stands at a token, for messages.
std::string description(const Token& token);

/// Tokens of a template, the last one of type `end`. White space is treated as with trim_blocks and
/// lstrip_blocks: the first line break after a block or comment goes, and so do blanks between the start of a
/// line and one. A single line break at the end of the source goes, too. Errors: ValueError with the line.
std::vector<Token> tokens_of(const std::string& source);
/// What an error in a template says first: "chat template, line 3: ".
std::string at_line(int line);

}  // namespace gw::inline text::jinja
