#pragma once
// What reads expressions and statements: one token after the other.
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "gatewright/text/template/lexer.h"
#include "gatewright/text/template/nodes.h"

namespace gw::inline text::jinja {

/// Walks along the tokens.
class TokenReader {
 public:
  explicit TokenReader(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& here() const { return tokens_[at_]; }
  const Token& after() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& next();  ///< the token here, and a step ahead
  bool skip_sign(std::string_view sign);
  bool skip_name(std::string_view word);
  void expect_sign(std::string_view sign);
  void expect(Token::Type type, const char* what);
  std::string expect_name(const char* what);
  [[noreturn]] void refuse(const std::string& expected) const;

  /// One level deeper, for as long as it lives. Errors: ValueError beyond kParseLimit.
  class Level {
   public:
    explicit Level(TokenReader& reader);
    ~Level() { --reader_.levels_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    TokenReader& reader_;
  };

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int levels_ = 0;
};

/// Expressions, by the precedence that Jinja has.
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenReader& reader) : reader_(reader) {}

  Part expression(bool with_condition = true);
  /// An expression, or several with commas between them, which are a tuple.
  Part tuple(bool with_condition = true, bool in_parentheses = false);
  /// filter(…)|filter … behind what `input` is.
  Part filters(Part input, bool first_pipe_read);

 private:
  using Kind = Expression::Kind;
  Part condition();
  Part disjunction();
  Part conjunction();
  Part negation();
  Part comparison();
  bool comparison_here(Comparison& found);
  Part sum();
  Part concat();
  Part product();
  Part power();
  Part unary(bool with_filters = true);
  Part primary();
  Part list();
  Part dict();
  Part postfix(Part node);
  Part filtered(Part node);
  Part subscript(Part node);
  Part subscripted(Expression made);
  Part test(Part node);
  void arguments(Expression& call);

  Expression begin(Kind kind) const;
  /// With its depth. Errors: ValueError beyond kNodeLimit.
  Part finish(Expression made) const;
  Part binary(Kind kind, Operator op, Part left, Part right, int line) const;

  TokenReader& reader_;
};

}  // namespace gw::inline text::jinja
