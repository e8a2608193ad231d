#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/template/evaluator.h"
#include "gatewright/text/template/filters.h"
#include "gatewright/text/template/functions.h"
#include "gatewright/text/template/predicates.h"
#include "gatewright/text/template/printing.h"

namespace gw::inline text::jinja {

using Kind = Expression::Kind;

Value Evaluator::evaluate(const Expression& node) {
  const Meter::Level level(meter_);
  meter_.step();
  const int outer = std::exchange(line_, node.line);
  Value value = value_of(node);
  line_ = outer;  // an error leaves it at the place of the error
  return value;
}

Value Evaluator::value_of(const Expression& node) {
  switch (node.kind) {
    case Kind::literal:
      return node.value;
    case Kind::name:
      return name(node);
    case Kind::list:
    case Kind::tuple:
      return make_sequence(meter_, parts(node, 0),
                           node.kind == Kind::list ? Sequence::Form::list : Sequence::Form::tuple);
    case Kind::dict:
      return dict(node);
    case Kind::attribute:
      return attribute(meter_, evaluate(*node.parts[0]), node.name);
    case Kind::slice:
      return slice(node);
    case Kind::call:
      return call(node);
    case Kind::body:
      return body_;
    case Kind::minus:
      return negated(evaluate(*node.parts[0]));
    case Kind::plus: {
      const Value value = evaluate(*node.parts[0]);
      return arithmetic(meter_, Operator::add, Value(int64_t{0}), value);
    }
    case Kind::negation:
      return Value(!truth(evaluate(*node.parts[0])));
    case Kind::concat:
      return concat(node);
    case Kind::comparison:
      return comparison(node);
    default:
      return evaluated_condition(node);
  }
}

/// Nodes that evaluate their parts in an order of their own, or only some of them.
Value Evaluator::evaluated_condition(const Expression& node) {
  Value first = evaluate(*node.parts[0]);
  switch (node.kind) {
    case Kind::conjunction:
      return truth(first) ? evaluate(*node.parts[1]) : first;
    case Kind::disjunction:
      return truth(first) ? first : evaluate(*node.parts[1]);
    case Kind::condition:
      if (truth(first)) return evaluate(*node.parts[1]);
      return node.parts[2]
                 ? evaluate(*node.parts[2])
                 : Value::undefined("the condition of \"if\" does not hold, and there is no \"else\"");
    case Kind::item:
      return item(meter_, first, evaluate(*node.parts[1]));
    case Kind::arithmetic:
      return arithmetic(meter_, node.op, first, evaluate(*node.parts[1]));
    case Kind::filter: {
      Arguments given = arguments(node);
      return filtered(meter_, node.name, first, given);
    }
    default: {
      Arguments given = arguments(node);
      return Value(passes(meter_, node.name, first, given));
    }
  }
}

Value Evaluator::name(const Expression& node) const {
  if (const Value* found = scope_->find(node.name)) return *found;
  return Value::undefined("\"" + shown(node.name, 60) + "\" is undefined");
}

Values Evaluator::parts(const Expression& node, size_t first) {
  Values values;
  for (size_t i = first; i < node.parts.size(); ++i) values.push_back(evaluate(*node.parts[i]));
  return values;
}

Arguments Evaluator::arguments(const Expression& node) {
  Arguments given;
  given.positional = parts(node, 1);
  for (const auto& [name, part] : node.named) given.named.emplace_back(name, evaluate(*part));
  return given;
}

Value Evaluator::dict(const Expression& node) {
  Dict made;
  for (size_t i = 0; i < node.parts.size(); i += 2) {
    const Value key = evaluate(*node.parts[i]);
    put(meter_, made, key, evaluate(*node.parts[i + 1]));
  }
  return finished(std::move(made));
}

Value Evaluator::concat(const Expression& node) {
  std::string all;
  for (const Part& part : node.parts) print(meter_, evaluate(*part), all);
  return Value(std::move(all));
}

Value Evaluator::comparison(const Expression& node) {
  Value left = evaluate(*node.parts[0]);
  for (size_t i = 0; i < node.comparisons.size(); ++i) {
    Value right = evaluate(*node.parts[i + 1]);
    if (!compare(meter_, node.comparisons[i], left, right)) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Evaluator::slice(const Expression& node) {
  const auto bound = [&](const Part& part) { return part ? evaluate(*part) : Value(Value::None()); };
  const Value value = evaluate(*node.parts[0]);
  const Value start = bound(node.parts[1]), stop = bound(node.parts[2]);
  return jinja::slice(meter_, value, start, stop, bound(node.parts[3]));
}

std::string Evaluator::near_function(const std::string& name) const {
  std::vector<std::string> known = names_of(functions());
  known.emplace_back("strftime_now");
  for (const Scope* scope = scope_; scope != nullptr; scope = scope->outer)
    for (const auto& [one, value] : scope->values)
      if (value.is(Value::Kind::callable) && known.size() < 50) known.push_back(one);
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  return near_miss(name, known);
}

Value Evaluator::callee(const Expression& node) {
  const bool method = node.kind == Kind::attribute;
  const Value owner = method ? evaluate(*node.parts[0]) : Value();
  const Value function = method ? attribute(meter_, owner, node.name) : evaluate(node);
  if (function.is(Value::Kind::callable)) return function;
  std::string hint;
  if (method && !method_names(owner).empty()) hint = near_miss(node.name, method_names(owner));
  if (node.kind == Kind::name) hint = near_function(node.name);
  fail("expected a function before (…), got {}{}",
       function.is_undefined() ? function.reason() : std::string("a ") + type_name(function), hint);
}

Value Evaluator::call(const Expression& node, const Value* caller) {
  const Value function = callee(*node.parts[0]);
  Arguments given = arguments(node);
  const Callable& callable = function.callable();
  if (caller != nullptr) given.named.emplace_back("caller", *caller);
  if (callable.macro) return called_macro(callable, given);
  return callable.function(meter_, callable.self, given);
}

}  // namespace gw::inline text::jinja
