// What operators stand between: literals, names, calls, filters and tests.
#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/text/template/parser.h"

namespace gw::inline text::jinja {

Part ExpressionParser::primary() {
  Expression made = begin(Kind::literal);
  const Token& token = reader_.here();
  if (token.type == Token::Type::name) {
    const std::string& word = reader_.next().text;
    if (word == "true" || word == "True" || word == "false" || word == "False") {
      made.value = Value(word == "true" || word == "True");
    } else if (word == "none" || word == "None") {
      made.value = Value::None();
    } else {
      made.kind = Kind::name;
      made.name = word;
    }
    return finish(std::move(made));
  }
  if (token.type == Token::Type::literal) {
    made.value = reader_.next().value;
    std::string joined;  // texts one behind the other are one
    while (made.value.is_text() && reader_.here().type == Token::Type::literal &&
           reader_.here().value.is_text())
      joined += reader_.next().value.text();
    if (!joined.empty()) made.value = Value(made.value.text() + joined);
    return finish(std::move(made));
  }
  if (reader_.skip_sign("(")) {
    Part inner = tuple(true, true);
    reader_.expect_sign(")");
    return inner;
  }
  if (token.is_sign("[")) return list();
  if (token.is_sign("{")) return dict();
  reader_.refuse("an expression");
}

Part ExpressionParser::tuple(bool with_condition, bool in_parentheses) {
  Expression made = begin(Kind::tuple);
  bool several = false;
  while (true) {
    const Token& token = reader_.here();
    const bool ended =
        token.type == Token::Type::variable_end || token.type == Token::Type::block_end || token.is_sign(")");
    if (ended) break;
    made.parts.push_back(expression(with_condition));
    if (!reader_.skip_sign(",")) break;
    several = true;
  }
  if (!several && !made.parts.empty()) return std::move(made.parts[0]);
  if (!several && !in_parentheses) reader_.refuse("an expression");
  return finish(std::move(made));
}

Part ExpressionParser::list() {
  Expression made = begin(Kind::list);
  reader_.expect_sign("[");
  while (!reader_.here().is_sign("]")) {
    if (!made.parts.empty()) reader_.expect_sign(",");
    if (reader_.here().is_sign("]")) break;
    made.parts.push_back(expression());
  }
  reader_.expect_sign("]");
  return finish(std::move(made));
}

Part ExpressionParser::dict() {
  Expression made = begin(Kind::dict);
  reader_.expect_sign("{");
  while (!reader_.here().is_sign("}")) {
    if (!made.parts.empty()) reader_.expect_sign(",");
    if (reader_.here().is_sign("}")) break;
    made.parts.push_back(expression());
    reader_.expect_sign(":");
    made.parts.push_back(expression());
  }
  reader_.expect_sign("}");
  return finish(std::move(made));
}

Part ExpressionParser::postfix(Part node) {
  while (true) {
    if (reader_.here().is_sign(".") || reader_.here().is_sign("[")) {
      node = subscript(std::move(node));
    } else if (reader_.here().is_sign("(")) {
      Expression made = begin(Kind::call);
      made.parts.push_back(std::move(node));
      arguments(made);
      node = finish(std::move(made));
    } else {
      return node;
    }
  }
}

Part ExpressionParser::filtered(Part node) {
  while (true) {
    if (reader_.here().is_sign("|")) {
      node = filters(std::move(node), false);
    } else if (reader_.here().is_name("is")) {
      node = test(std::move(node));
    } else if (reader_.here().is_sign("(")) {
      node = postfix(std::move(node));
    } else {
      return node;
    }
  }
}

Part ExpressionParser::subscript(Part node) {
  Expression made = begin(Kind::item);
  made.parts.push_back(std::move(node));
  if (!reader_.skip_sign(".")) {
    reader_.expect_sign("[");
    return subscripted(std::move(made));
  }
  if (reader_.here().type == Token::Type::name) {
    made.kind = Kind::attribute;
    made.name = reader_.next().text;
    return finish(std::move(made));
  }
  const Token& token = reader_.here();
  if (token.type != Token::Type::literal || !token.value.is(Value::Kind::integer))
    reader_.refuse("a name or number after \".\"");
  Expression place = begin(Kind::literal);
  place.value = reader_.next().value;
  made.parts.push_back(finish(std::move(place)));
  return finish(std::move(made));
}

Part ExpressionParser::subscripted(Expression made) {
  const auto bound = [&]() -> Part {
    const bool none = reader_.here().is_sign(":") || reader_.here().is_sign("]");
    return none ? nullptr : expression();
  };
  if (reader_.here().is_sign("]")) reader_.refuse("an expression");
  made.parts.push_back(bound());
  if (reader_.skip_sign(":")) {
    made.kind = Kind::slice;
    made.parts.push_back(bound());
    made.parts.push_back(reader_.skip_sign(":") ? bound() : nullptr);
  } else if (reader_.here().is_sign(",")) {
    Expression key = begin(Kind::tuple);
    key.parts.push_back(std::move(made.parts.back()));
    while (reader_.skip_sign(",")) key.parts.push_back(expression());
    made.parts.back() = finish(std::move(key));
  }
  reader_.expect_sign("]");
  return finish(std::move(made));
}

Part ExpressionParser::filters(Part node, bool first_pipe_read) {
  while (first_pipe_read || reader_.skip_sign("|")) {
    first_pipe_read = false;
    Expression made = begin(Kind::filter);
    made.name = reader_.expect_name("the name of a filter");
    while (reader_.skip_sign(".")) made.name += "." + reader_.expect_name("the name of a filter");
    made.parts.push_back(std::move(node));
    if (reader_.here().is_sign("(")) arguments(made);
    node = finish(std::move(made));
  }
  return node;
}

Part ExpressionParser::test(Part node) {
  Expression made = begin(Kind::test);
  reader_.next();
  const bool negated = reader_.skip_name("not");
  made.name = reader_.expect_name("the name of a test");
  made.parts.push_back(std::move(node));
  const Token& token = reader_.here();
  const bool word = token.type == Token::Type::name && !token.is_name("else") && !token.is_name("or") &&
                    !token.is_name("and");
  if (token.is_sign("(")) {
    arguments(made);
  } else if (word || token.type == Token::Type::literal || token.is_sign("[") || token.is_sign("{")) {
    if (token.is_name("is")) reader_.refuse("one test; join several with \"and\"");
    made.parts.push_back(postfix(primary()));
  }
  const int line = made.line;
  Part whole = finish(std::move(made));
  return negated ? binary(Kind::negation, {}, std::move(whole), nullptr, line) : std::move(whole);
}

void ExpressionParser::arguments(Expression& call) {
  reader_.expect_sign("(");
  bool first = true;
  while (!reader_.here().is_sign(")")) {
    if (!first) reader_.expect_sign(",");
    if (reader_.here().is_sign(")")) break;
    first = false;
    if (reader_.here().is_sign("*") || reader_.here().is_sign("**"))
      reader_.refuse("arguments one by one, which * and ** do not give");
    if (reader_.here().type == Token::Type::name && reader_.after().is_sign("=")) {
      const std::string name = reader_.next().text;
      reader_.next();
      const bool twice = std::any_of(call.named.begin(), call.named.end(),
                                     [&](const auto& one) { return one.first == name; });
      GW_CHECK(call.named.size() < kNamedLimit, "{}expected at most {} arguments with names, got more",
               at_line(call.line), kNamedLimit);
      GW_CHECK(!twice, "{}expected the argument \"{}\" once, got it twice", at_line(call.line), name);
      call.named.emplace_back(name, expression());
    } else {
      if (!call.named.empty()) reader_.refuse("arguments without names before those with names");
      call.parts.push_back(expression());
    }
  }
  reader_.expect_sign(")");
}

}  // namespace gw::inline text::jinja
