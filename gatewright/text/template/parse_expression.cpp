#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/text/template/parser.h"

namespace gw::inline text::jinja {

const Token& TokenReader::next() {
  const Token& token = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool TokenReader::skip_sign(std::string_view sign) { return here().is_sign(sign) && (next(), true); }
bool TokenReader::skip_name(std::string_view word) { return here().is_name(word) && (next(), true); }

void TokenReader::expect_sign(std::string_view sign) {
  if (!skip_sign(sign)) refuse("\"" + std::string(sign) + "\"");
}

void TokenReader::expect(Token::Type type, const char* what) {
  if (here().type != type) refuse(what);
  next();
}

std::string TokenReader::expect_name(const char* what) {
  if (here().type != Token::Type::name) refuse(what);
  return next().text;
}

void TokenReader::refuse(const std::string& expected) const {
  fail("{}expected {}, got {}", at_line(here().line), expected, description(here()));
}

TokenReader::Level::Level(TokenReader& reader) : reader_(reader) {
  GW_CHECK(reader.levels_ < kParseLimit,
           "{}expected at most {} levels of brackets, operators and blocks, got more",
           at_line(reader.here().line), kParseLimit);
  ++reader_.levels_;
}

Expression ExpressionParser::begin(Kind kind) const {
  Expression made;
  made.kind = kind;
  made.line = reader_.here().line;
  return made;
}

Part ExpressionParser::finish(Expression made) const {
  const auto grow = [&](const Part& part) { made.depth = std::max(made.depth, part ? part->depth + 1 : 1); };
  for (const Part& part : made.parts) grow(part);
  for (const auto& [name, part] : made.named) grow(part);
  GW_CHECK(made.depth <= kNodeLimit, "{}expected at most {} levels of operators, got more; use brackets or ~",
           at_line(made.line), kNodeLimit);
  return std::make_unique<const Expression>(std::move(made));
}

Part ExpressionParser::binary(Kind kind, Operator op, Part left, Part right, int line) const {
  Expression made = begin(kind);
  made.line = line;
  made.op = op;
  made.parts.push_back(std::move(left));
  if (right) made.parts.push_back(std::move(right));
  return finish(std::move(made));
}

Part ExpressionParser::expression(bool with_condition) {
  const TokenReader::Level level(reader_);
  return with_condition ? condition() : disjunction();
}

Part ExpressionParser::condition() {
  const TokenReader::Level level(reader_);
  Part value = disjunction();
  while (reader_.here().is_name("if")) {
    Expression made = begin(Kind::condition);
    reader_.next();
    made.parts.push_back(disjunction());
    made.parts.push_back(std::move(value));
    made.parts.push_back(reader_.skip_name("else") ? condition() : nullptr);
    value = finish(std::move(made));
  }
  return value;
}

Part ExpressionParser::disjunction() {
  Part left = conjunction();
  while (reader_.here().is_name("or")) {
    const int line = reader_.next().line;
    left = binary(Kind::disjunction, {}, std::move(left), conjunction(), line);
  }
  return left;
}

Part ExpressionParser::conjunction() {
  Part left = negation();
  while (reader_.here().is_name("and")) {
    const int line = reader_.next().line;
    left = binary(Kind::conjunction, {}, std::move(left), negation(), line);
  }
  return left;
}

Part ExpressionParser::negation() {
  const TokenReader::Level level(reader_);
  if (!reader_.here().is_name("not")) return comparison();
  const int line = reader_.next().line;
  return binary(Kind::negation, {}, negation(), nullptr, line);
}

bool ExpressionParser::comparison_here(Comparison& found) {
  static constexpr std::pair<std::string_view, Comparison> kSigns[] = {
      {"==", Comparison::equal},         {"!=", Comparison::unequal}, {"<=", Comparison::less_equal},
      {">=", Comparison::greater_equal}, {"<", Comparison::less},     {">", Comparison::greater}};
  for (const auto& [sign, comparison] : kSigns)
    if (reader_.skip_sign(sign)) return found = comparison, true;
  if (reader_.skip_name("in")) return found = Comparison::in, true;
  if (!reader_.here().is_name("not") || !reader_.after().is_name("in")) return false;
  reader_.next(), reader_.next();
  found = Comparison::not_in;
  return true;
}

Part ExpressionParser::comparison() {
  Expression made = begin(Kind::comparison);
  Part left = sum();
  Comparison found{};
  while (comparison_here(found)) {
    if (left) made.parts.push_back(std::move(left));
    made.comparisons.push_back(found);
    made.parts.push_back(sum());
  }
  return left ? std::move(left) : finish(std::move(made));
}

Part ExpressionParser::sum() {
  Part left = concat();
  while (reader_.here().is_sign("+") || reader_.here().is_sign("-")) {
    const Token& sign = reader_.next();
    const Operator op = sign.text == "+" ? Operator::add : Operator::subtract;
    left = binary(Kind::arithmetic, op, std::move(left), concat(), sign.line);
  }
  return left;
}

Part ExpressionParser::concat() {
  Expression made = begin(Kind::concat);
  made.parts.push_back(product());
  while (reader_.skip_sign("~")) made.parts.push_back(product());
  return made.parts.size() == 1 ? std::move(made.parts[0]) : finish(std::move(made));
}

Part ExpressionParser::product() {
  static constexpr std::pair<std::string_view, Operator> kSigns[] = {{"*", Operator::multiply},
                                                                     {"/", Operator::divide},
                                                                     {"//", Operator::floor_divide},
                                                                     {"%", Operator::modulo}};
  Part left = power();
  while (true) {
    const auto found = std::find_if(std::begin(kSigns), std::end(kSigns),
                                    [&](const auto& one) { return reader_.here().is_sign(one.first); });
    if (found == std::end(kSigns)) return left;
    const int line = reader_.next().line;
    left = binary(Kind::arithmetic, found->second, std::move(left), power(), line);
  }
}

Part ExpressionParser::power() {
  Part left = unary();
  while (reader_.here().is_sign("**")) {
    const int line = reader_.next().line;
    left = binary(Kind::arithmetic, Operator::power, std::move(left), unary(), line);
  }
  return left;
}

Part ExpressionParser::unary(bool with_filters) {
  const TokenReader::Level level(reader_);
  const int line = reader_.here().line;
  Part node;
  if (reader_.skip_sign("-"))
    node = binary(Kind::minus, {}, unary(false), nullptr, line);
  else if (reader_.skip_sign("+"))
    node = binary(Kind::plus, {}, unary(false), nullptr, line);
  else
    node = primary();
  node = postfix(std::move(node));
  return with_filters ? filtered(std::move(node)) : std::move(node);
}

}  // namespace gw::inline text::jinja
