#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/template/evaluator.h"
#include "gatewright/text/template/printing.h"

namespace gw::inline text::jinja {

using Kind = Statement::Kind;

const Value* Scope::find(const std::string& name) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->outer) {
    const auto found = scope->values.find(name);
    if (found != scope->values.end()) return &found->second;
  }
  return nullptr;
}

/// A scope of its own within the present one, or within that of a macro, for as long as it lives.
class Evaluator::InScope {
 public:
  InScope(Evaluator& evaluator, const Scope& outer) : evaluator_(evaluator), before_(evaluator.scope_) {
    scope.outer = &outer;
    evaluator.scope_ = &scope;
  }
  explicit InScope(Evaluator& evaluator) : InScope(evaluator, *evaluator.scope_) {}
  ~InScope() { evaluator_.scope_ = before_; }
  InScope(const InScope&) = delete;
  InScope& operator=(const InScope&) = delete;

  Scope scope;

 private:
  Evaluator& evaluator_;
  Scope* before_;
};

void Evaluator::render(const Body& body, std::string& out) { run(body, out); }

Evaluator::Flow Evaluator::run(const Body& body, std::string& out) {
  for (const auto& statement : body) {
    const Flow flow = run(*statement, out);
    if (flow != Flow::on) return flow;
  }
  return Flow::on;
}

Evaluator::Flow Evaluator::run(const Statement& statement, std::string& out) {
  const Meter::Level level(meter_);
  meter_.step();
  line_ = statement.line;
  switch (statement.kind) {
    case Kind::text:
      meter_.grow(out.size(), statement.text.size());
      out += statement.text;
      break;
    case Kind::output:
      print(meter_, evaluate(*statement.expressions[0]), out);
      break;
    case Kind::choice:
      return choice(statement, out);
    case Kind::loop:
      return loop(statement, out);
    case Kind::assign:
      assign(statement.targets[0], evaluate(*statement.expressions[0]));
      break;
    case Kind::assign_block:
      assign(statement.targets[0], body_text(statement, statement.expressions[0]));
      break;
    case Kind::macro:
      scope_->values[statement.text] = macro(statement);
      break;
    case Kind::call:
      call_block(statement, out);
      break;
    case Kind::filter:
      print(meter_, body_text(statement, statement.expressions[0]), out);
      break;
    case Kind::with:
    case Kind::scope:
      return in_scope(statement, out);
    default:
      return statement.kind == Kind::leave ? Flow::leave : Flow::next;
  }
  return Flow::on;
}

Evaluator::Flow Evaluator::choice(const Statement& statement, std::string& out) {
  for (size_t i = 0; i < statement.expressions.size(); ++i)
    if (truth(evaluate(*statement.expressions[i]))) return run(statement.bodies[i], out);
  return statement.bodies.size() > statement.expressions.size() ? run(statement.bodies.back(), out)
                                                                : Flow::on;
}

/// What a for walks through: without the elements that its "if" leaves out.
Values Evaluator::loop_elements(const Statement& statement) {
  const Value walked = evaluate(*statement.expressions[0]);
  const auto all = elements_of(meter_, walked, "for");
  if (!statement.expressions[1]) return all->elements;
  Values chosen;
  InScope inner(*this);
  for (const Value& element : all->elements) {
    assign(statement.targets[0], element);
    if (truth(evaluate(*statement.expressions[1]))) chosen.push_back(element);
  }
  return chosen;
}

Evaluator::Flow Evaluator::loop(const Statement& statement, std::string& out) {
  auto elements = std::make_shared<Sequence>();
  elements->elements = loop_elements(statement);
  InScope inner(*this);
  if (elements->elements.empty()) return run(statement.bodies[1], out);
  auto loop = std::make_shared<Loop>();
  loop->elements = elements;
  for (size_t i = 0; i < elements->elements.size(); ++i) {
    meter_.step();
    loop->index = i;
    inner.scope.values.clear();
    inner.scope.values["loop"] = Value(loop);
    assign(statement.targets[0], elements->elements[i]);
    if (run(statement.bodies[0], out) == Flow::leave) break;
  }
  return Flow::on;
}

Evaluator::Flow Evaluator::in_scope(const Statement& statement, std::string& out) {
  const Scope& outer = *scope_;
  InScope inner(*this);
  for (size_t i = 0; i < statement.targets.size(); ++i) {
    scope_ = const_cast<Scope*>(&outer);  // the values of a with do not see each other
    const Value value = evaluate(*statement.expressions[i]);
    scope_ = &inner.scope;
    assign(statement.targets[i], value);
  }
  return run(statement.bodies[0], out);
}

/// The text of a block in a scope of its own, through its filters.
Value Evaluator::body_text(const Statement& statement, const Part& filters) {
  InScope inner(*this);
  std::string text;
  run(statement.bodies[0], text);
  meter_.text(text.size());
  Value outer = std::exchange(body_, Value(std::move(text)));
  Value value = filters ? evaluate(*filters) : body_;
  body_ = std::move(outer);
  return value;
}

void Evaluator::assign(const Target& target, const Value& value) {
  if (target.several) {
    const auto all = elements_of(meter_, value, "an assignment");
    GW_CHECK(all->elements.size() == target.parts.size(), "expected {} values to assign to {} names, got {}",
             target.parts.size(), target.parts.size(), all->elements.size());
    for (size_t i = 0; i < target.parts.size(); ++i) assign(target.parts[i], all->elements[i]);
    return;
  }
  if (target.attribute.empty()) {
    scope_->values[target.name] = value;
    return;
  }
  const Value* found = scope_->find(target.name);
  GW_CHECK(found != nullptr && found->is(Value::Kind::names), "expected a namespace to set \"{}\" of, got {}",
           shown(target.attribute, 60),
           found ? type_name(*found) : "\"" + shown(target.name, 60) + "\", which is undefined");
  make_sequence(meter_, {value});  // refuses what a namespace may not hold
  found->names().values[target.attribute] = value;
}

Value Evaluator::macro(const Statement& statement) const {
  auto made = std::make_shared<Callable>();
  made->name = statement.text;
  made->macro = std::make_shared<const Macro>(Macro{&statement, scope_});
  return Value(std::shared_ptr<const Callable>(std::move(made)));
}

void Evaluator::call_block(const Statement& statement, std::string& out) {
  const Value caller = macro(statement);
  const Expression& node = *statement.expressions.back();
  const Meter::Level level(meter_);
  print(meter_, call(node, &caller), out);
}

Value Evaluator::called_macro(const Callable& function, const Arguments& given) {
  const Meter::Level level(meter_);
  const Statement& statement = *function.macro->statement;
  const size_t count = statement.targets.size();
  meter_.step(count * (1 + given.named.size()));
  const bool is_call = statement.kind == Kind::call;
  const size_t defaults = statement.expressions.size() - (is_call ? 1 : 0);
  GW_CHECK(given.positional.size() <= count, "{}: expected at most {} arguments, got {}", function.name,
           count, given.positional.size());
  InScope inner(*this, *function.macro->scope);
  std::vector<std::string> names;
  for (const Target& target : statement.targets) names.push_back(target.name);
  for (const auto& [name, value] : given.named) {
    const auto place = std::find(names.begin(), names.end(), name);
    GW_CHECK(place != names.end() || name == "caller", "{}: expected a known argument, got \"{}\"{}",
             function.name, shown(name, 60), near_miss(name, names));
    GW_CHECK(place == names.end() || static_cast<size_t>(place - names.begin()) >= given.positional.size(),
             "{}: expected the argument \"{}\" once, got it twice", function.name, name);
    inner.scope.values[name] = value;
  }
  for (size_t i = 0; i < count; ++i) {
    if (i < given.positional.size())
      inner.scope.values[names[i]] = given.positional[i];
    else if (!inner.scope.values.contains(names[i]))
      inner.scope.values[names[i]] =
          i + defaults >= count ? evaluate(*statement.expressions[i + defaults - count])
                                : Value::undefined("the argument \"" + names[i] + "\" was not given");
  }
  std::string text;
  run(statement.bodies[0], text);
  meter_.text(text.size());
  return Value(std::move(text));
}

}  // namespace gw::inline text::jinja
