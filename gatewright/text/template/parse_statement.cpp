#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/template/parser.h"

namespace gw::inline text::jinja {
namespace {

using Kind = Statement::Kind;
using Type = Token::Type;
using Words = std::initializer_list<const char*>;

class StatementParser {
 public:
  explicit StatementParser(std::vector<Token> tokens) : reader_(std::move(tokens)), expressions_(reader_) {}

  Body run() {
    Body body = statements({});
    if (reader_.here().type != Type::end) reader_.refuse("a statement");
    return body;
  }

 private:
  /// Statements up to a block that begins with one of `ends`, whose name is not read yet.
  Body statements(Words ends) {
    const TokenReader::Level level(reader_);
    Body body;
    while (reader_.here().type != Type::end) {
      const Token& token = reader_.next();
      Statement made;
      made.line = token.line;
      if (token.type == Type::data) {
        made.text = token.text;
      } else if (token.type == Type::variable_begin) {
        made.kind = Kind::output;
        made.expressions.push_back(expressions_.tuple());
        reader_.expect(Type::variable_end, "\"}}\"");
      } else {
        const bool ended = std::any_of(ends.begin(), ends.end(),
                                       [&](const char* end) { return reader_.here().is_name(end); });
        if (ended) return body;
        statement(made, ends);
        reader_.expect(Type::block_end, "\"%}\"");
      }
      body.push_back(std::make_unique<const Statement>(std::move(made)));
    }
    if (ends.size() > 0) reader_.refuse(std::string("{% ") + *(ends.end() - 1) + " %}");
    return body;
  }

  /// The body of a block: after its head, up to the name of the block that ends it.
  Body body(Words ends) {
    reader_.skip_sign(":");
    reader_.expect(Type::block_end, "\"%}\"");
    return statements(ends);
  }
  Body whole_body(const char* end) {
    Body read = body({end});
    reader_.next();
    return read;
  }
  /// A body that is rendered apart from the loop around it, which break and continue cannot leave.
  Body separate_body(const char* end) {
    const int outer = std::exchange(loops_, 0);
    Body read = whole_body(end);
    loops_ = outer;
    return read;
  }

  void statement(Statement& made, Words ends) {
    using Read = void (StatementParser::*)(Statement&);
    static constexpr std::pair<std::string_view, Read> kTags[] = {
        {"if", &StatementParser::choice},     {"for", &StatementParser::loop},
        {"set", &StatementParser::assign},    {"macro", &StatementParser::macro},
        {"call", &StatementParser::call},     {"filter", &StatementParser::filter},
        {"with", &StatementParser::with},     {"generation", &StatementParser::generation},
        {"break", &StatementParser::control}, {"continue", &StatementParser::control}};
    if (reader_.here().type != Type::name) reader_.refuse("the name of a block");
    const std::string& name = reader_.here().text;
    for (const auto& [tag, read] : kTags)
      if (name == tag) return (this->*read)(made);
    std::vector<std::string> known(ends.begin(), ends.end());
    for (const auto& [tag, read] : kTags) known.emplace_back(tag);
    fail("{}expected a known block, got \"{}\"{}", at_line(made.line), shown(name, 60),
         near_miss(name, known));
  }

  void choice(Statement& made) {
    made.kind = Kind::choice;
    reader_.next();
    while (true) {
      made.expressions.push_back(expressions_.tuple(false));
      made.bodies.push_back(body({"elif", "else", "endif"}));
      const std::string& end = reader_.next().text;
      if (end == "else") made.bodies.push_back(whole_body("endif"));
      if (end != "elif") return;
    }
  }

  void loop(Statement& made) {
    made.kind = Kind::loop;
    reader_.next();
    made.targets.push_back(targets(false, true));
    if (!reader_.skip_name("in")) reader_.refuse("\"in\"");
    made.expressions.push_back(expressions_.tuple(false));
    made.expressions.push_back(reader_.skip_name("if") ? expressions_.expression() : nullptr);
    if (reader_.here().is_name("recursive"))
      reader_.refuse("a loop without \"recursive\", which is not supported; use a macro");
    ++loops_;
    made.bodies.push_back(body({"else", "endfor"}));
    --loops_;
    made.bodies.emplace_back();
    if (reader_.next().text == "else") made.bodies.back() = whole_body("endfor");
  }

  void assign(Statement& made) {
    reader_.next();
    made.targets.push_back(targets(true, false));
    if (reader_.skip_sign("=")) {
      made.kind = Kind::assign;
      made.expressions.push_back(expressions_.tuple());
      return;
    }
    made.kind = Kind::assign_block;
    made.expressions.push_back(reader_.here().is_sign("|") ? filters_of_body(false) : nullptr);
    made.bodies.push_back(separate_body("endset"));
  }

  Part filters_of_body(bool first_pipe_read) {
    Expression text;
    text.kind = Expression::Kind::body;
    text.line = reader_.here().line;
    return expressions_.filters(std::make_unique<const Expression>(std::move(text)), first_pipe_read);
  }

  void macro(Statement& made) {
    made.kind = Kind::macro;
    reader_.next();
    made.text = reader_.expect_name("the name of a macro");
    check_assignable(made.text);
    signature(made);
    made.bodies.push_back(separate_body("endmacro"));
  }

  void signature(Statement& made) {
    reader_.expect_sign("(");
    while (!reader_.here().is_sign(")")) {
      if (!made.targets.empty()) reader_.expect_sign(",");
      made.targets.push_back({reader_.expect_name("the name of an argument"), {}, {}, false});
      if (reader_.skip_sign("="))
        made.expressions.push_back(expressions_.expression());
      else if (!made.expressions.empty())
        reader_.refuse("a default after the name of an argument that follows one with a default");
    }
    reader_.expect_sign(")");
  }

  void call(Statement& made) {
    made.kind = Kind::call;
    reader_.next();
    made.text = "caller";
    if (reader_.here().is_sign("(")) signature(made);
    made.expressions.push_back(expressions_.expression());
    if (made.expressions.back()->kind != Expression::Kind::call) reader_.refuse("a call of a macro");
    made.bodies.push_back(separate_body("endcall"));
  }

  void filter(Statement& made) {
    made.kind = Kind::filter;
    reader_.next();
    made.expressions.push_back(filters_of_body(true));
    made.bodies.push_back(whole_body("endfilter"));
  }

  void with(Statement& made) {
    made.kind = Kind::with;
    reader_.next();
    while (reader_.here().type != Type::block_end) {
      if (!made.targets.empty()) reader_.expect_sign(",");
      made.targets.push_back(targets(false, false));
      reader_.expect_sign("=");
      made.expressions.push_back(expressions_.expression());
    }
    made.bodies.push_back(whole_body("endwith"));
  }

  void generation(Statement& made) {
    made.kind = Kind::scope;
    reader_.next();
    made.bodies.push_back(separate_body("endgeneration"));
  }

  void control(Statement& made) {
    if (loops_ == 0) reader_.refuse("break and continue within a loop");
    made.kind = reader_.next().text == "break" ? Kind::leave : Kind::next;
  }

  void check_assignable(const std::string& name) const {
    static constexpr std::string_view kWords[] = {"true", "false", "none", "True", "False", "None"};
    const bool word = std::find(std::begin(kWords), std::end(kWords), name) != std::end(kWords);
    if (word || (name == "loop" && loops_ > 0))
      fail("{}expected a name to assign to, got \"{}\"", at_line(reader_.here().line), name);
  }

  Target target(bool attributes) {
    const TokenReader::Level level(reader_);
    if (reader_.skip_sign("(")) {
      Target inner = targets(attributes, false);
      reader_.expect_sign(")");
      return inner;
    }
    Target made{reader_.expect_name("a name to assign to"), {}, {}, false};
    check_assignable(made.name);
    if (attributes && reader_.skip_sign("."))
      made.attribute = reader_.expect_name("the name of an attribute");
    return made;
  }

  /// One target, or several with commas; `in_loop`: up to the word "in".
  Target targets(bool attributes, bool in_loop) {
    Target first = target(attributes);
    if (!reader_.here().is_sign(",")) return first;
    Target made;
    made.several = true;
    made.parts.push_back(std::move(first));
    while (reader_.skip_sign(",")) {
      const bool ended = reader_.here().is_sign("=") || reader_.here().is_sign(")") ||
                         (in_loop && reader_.here().is_name("in"));
      if (ended) break;
      made.parts.push_back(target(attributes));
    }
    return made;
  }

  TokenReader reader_;
  ExpressionParser expressions_;
  int loops_ = 0;
};

}  // namespace

Body parse_template(const std::string& source) { return StatementParser(tokens_of(source)).run(); }

}  // namespace gw::inline text::jinja
