#include "gatewright/text/template/lexer.h"

#include <algorithm>
#include <array>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/template/characters.h"
#include "gatewright/text/template/literals.h"

namespace gw::inline text::jinja {
namespace {

using Type = Token::Type;

bool is_word(char one) { return std::isalnum(static_cast<unsigned char>(one)) || one == '_' || (one & 0x80); }
bool is_digit(char one) { return one >= '0' && one <= '9'; }

/// Line breaks as \n, and none at the end.
std::string normalised(const std::string& source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    out += source[i] == '\r' ? '\n' : source[i];
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(const std::string& source) : source_(normalised(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      size_t tag = source_.find('{', at_);
      while (tag != std::string::npos && !opens(tag)) tag = source_.find('{', tag + 1);
      if (tag == std::string::npos) {
        add_data(source_.size(), ' ', false);
        break;
      }
      const char kind = source_[tag + 1];
      const bool signed_tag =
          tag + 2 < source_.size() && (source_[tag + 2] == '-' || source_[tag + 2] == '+');
      add_data(tag, signed_tag ? source_[tag + 2] : ' ', kind != '{');
      advance(signed_tag ? 3 : 2);
      kind == '#' ? comment() : kind == '{' ? variable() : block();
    }
    add(Type::end, "");
    return std::move(tokens_);
  }

 private:
  bool opens(size_t at) const {
    return at + 1 < source_.size() &&
           (source_[at + 1] == '{' || source_[at + 1] == '%' || source_[at + 1] == '#');
  }
  bool here(std::string_view text) const { return std::string_view(source_).substr(at_).starts_with(text); }
  void advance(size_t count) {
    const auto from = source_.begin() + static_cast<std::ptrdiff_t>(at_);
    line_ += static_cast<int>(std::count(from, from + static_cast<std::ptrdiff_t>(count), '\n'));
    at_ += count;
  }
  void skip_space() {
    while (at_ < source_.size()) {
      const std::string_view one =
          std::string_view(source_).substr(at_, byte_of(std::string_view(source_).substr(at_, 4), 1));
      if (!is_space(code_point(one))) break;
      advance(one.size());
    }
  }
  void add(Type type, std::string text) { tokens_.push_back({type, line_, std::move(text), {}}); }

  /// Text up to `end`, where a tag with this sign stands, and its white space as the tag wants it.
  void add_data(size_t end, char sign, bool block) {
    std::string_view text = std::string_view(source_).substr(at_, end - at_);
    if (sign == '-') {
      text = stripped(text, nullptr, Side::right);
    } else if (sign != '+' && block) {
      const size_t line = text.rfind('\n') + 1;  // 0 where there is none
      const bool blank = stripped(text.substr(line), nullptr, Side::left).empty();
      if ((line > 0 || line_starting_) && blank) text = text.substr(0, line);
    }
    if (!text.empty()) add(Type::data, std::string(text));
    line_starting_ = false;
    advance(end - at_);
  }

  /// The end of a block or comment, of which `sign` is the character before it.
  void after_block(char sign) {
    const size_t before = at_;
    if (sign == '-')
      skip_space();
    else if (sign != '+' && here("\n"))
      advance(1);
    line_starting_ = at_ > before && source_[at_ - 1] == '\n';
  }

  void comment() {
    const size_t end = source_.find("#}", at_);
    GW_CHECK(end != std::string::npos, "{}expected \"#}}\" after \"{{#\", got the end", at_line(line_));
    const char sign = end > at_ ? source_[end - 1] : ' ';
    advance(end + 2 - at_);
    after_block(sign);
  }

  void variable() {
    add(Type::variable_begin, "{{");
    inside("}}");
    const bool strips = here("-");
    advance(strips ? 3 : 2);
    add(Type::variable_end, "}}");
    if (strips) skip_space();
    line_starting_ = strips && source_[at_ - 1] == '\n';
  }

  void block() {
    if (raw()) return;
    add(Type::block_begin, "{%");
    inside("%}");
    const char sign = source_[at_];
    advance(sign == '%' ? 2 : 3);
    add(Type::block_end, "%}");
    after_block(sign);
  }

  /// Whether `word` and the end of a block stand at `at`; moves it behind, and gives the sign.
  bool only_word(std::string_view word, size_t& at, char& sign) const {
    const auto blanks = [&] { at = std::min(source_.find_first_not_of(" \t\n\v\f", at), source_.size()); };
    blanks();
    if (source_.compare(at, word.size(), word) != 0) return false;
    at += word.size();
    blanks();
    sign = at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at] : ' ';
    if (sign != ' ') ++at;
    at += 2;
    return at <= source_.size() && source_.compare(at - 2, 2, "%}") == 0;
  }

  bool raw() {
    size_t at = at_;
    char sign = ' ';
    if (!only_word("raw", at, sign) || sign == '+') return false;
    advance(at - at_);
    if (sign == '-') skip_space();
    for (size_t end = source_.find("{%", at_); end != std::string::npos; end = source_.find("{%", end + 1)) {
      at = end + 2;
      const char first =
          at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at++] : ' ';
      if (!only_word("endraw", at, sign)) continue;
      add_data(end, first, true);
      advance(at - at_);
      after_block(sign);
      return true;
    }
    fail("{}expected {{% endraw %}} after {{% raw %}}, got the end", at_line(line_));
  }

  /// The tokens of an expression or statement, up to `end` (or a sign before it) outside of all brackets.
  void inside(std::string_view end) {
    std::string open;
    for (skip_space(); at_ < source_.size(); skip_space()) {
      const bool sign = here("-") || (end == "%}" && here("+"));
      if (open.empty() && std::string_view(source_).substr(at_ + (sign ? 1 : 0)).starts_with(end)) return;
      token(open);
    }
    fail("{}expected \"{}\", got the end", at_line(line_), end);
  }

  void token(std::string& open) {
    const char one = source_[at_];
    if (is_digit(one)) return number();
    if (one == '"' || one == '\'') return text(one);
    if (!is_word(one)) return sign(open);
    size_t end = at_;
    while (end < source_.size() && is_word(source_[end])) ++end;
    GW_CHECK(end - at_ <= kNameLimit_bytes, "{}expected names of at most {} bytes, got one of {}",
             at_line(line_), kNameLimit_bytes, end - at_);
    add(Type::name, source_.substr(at_, end - at_));
    advance(end - at_);
  }

  void number() {
    const bool after_dot = !tokens_.empty() && tokens_.back().is_sign(".");  // x.0.1: two elements, no real
    const size_t size = number_size(std::string_view(source_).substr(at_), !after_dot);
    add(Type::literal, "");
    tokens_.back().value = number_value(source_.substr(at_, size), line_);
    advance(size);
  }

  void text(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    GW_CHECK(end < source_.size(), "{}expected a {} at the end of a text, got the end of the template",
             at_line(line_), quote);
    add(Type::literal, "");
    tokens_.back().value = Value(unescaped(std::string_view(source_).substr(at_ + 1, end - at_ - 1), line_));
    advance(end + 1 - at_);
  }

  void sign(std::string& open) {
    static constexpr std::array<std::string_view, 26> kSigns = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    const auto found =
        std::find_if(kSigns.begin(), kSigns.end(), [&](std::string_view one) { return here(one); });
    GW_CHECK(found != kSigns.end(), "{}expected an expression, got \"{}\"", at_line(line_),
             shown(std::string_view(source_).substr(at_, 1)));
    if (*found == "(" || *found == "[" || *found == "{") {
      open += *found == "(" ? ')' : *found == "[" ? ']' : '}';
    } else if (*found == ")" || *found == "]" || *found == "}") {
      GW_CHECK(!open.empty() && open.back() == found->front(), "{}expected {}, got \"{}\"", at_line(line_),
               open.empty() ? "no closing bracket" : "\"" + open.substr(open.size() - 1) + "\"", *found);
      open.pop_back();
    }
    add(Type::sign, std::string(*found));
    advance(found->size());
  }

  const std::string source_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
};

}  // namespace

std::string at_line(int line) { return fmt::format("chat template, line {}: ", line); }

std::string description(const Token& token) {
  switch (token.type) {
    case Type::end:
      return "the end of the template";
    case Type::data:
      return "text";
    case Type::literal:
      return token.value.is_text() ? "a text" : "a number";
    default:
      return "\"" + shown(token.text, 60) + "\"";
  }
}

std::vector<Token> tokens_of(const std::string& source) {
  GW_CHECK(source.size() <= kSourceLimit_bytes, "chat template: expected at most {} bytes, got {}",
           kSourceLimit_bytes, source.size());
  const size_t broken = invalid_utf8(source);
  GW_CHECK(broken == std::string::npos, "chat template: expected UTF-8, got other bytes at {}", broken);
  return Lexer(source).run();
}

}  // namespace gw::inline text::jinja
