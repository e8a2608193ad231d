#include "gatewright/text/template/methods.h"

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/text/template/operators.h"

namespace gw::inline text::jinja {
namespace {

using Kind = Value::Kind;
using Form = Sequence::Form;

Value dict_items(Meter& meter, const Value& self, const Arguments& arguments) {
  Parameters(arguments, "items", {});
  Values pairs;
  for (const auto& [key, value] : self.dict().entries)
    pairs.push_back(make_sequence(meter, {key, value}, Form::tuple));
  return make_sequence(meter, std::move(pairs), Form::items);
}

Value dict_keys(Meter& meter, const Value& self, const Arguments& arguments) {
  Parameters(arguments, "keys", {});
  Values keys;
  for (const auto& [key, value] : self.dict().entries) keys.push_back(key);
  return make_sequence(meter, std::move(keys), Form::keys);
}

Value dict_values(Meter& meter, const Value& self, const Arguments& arguments) {
  Parameters(arguments, "values", {});
  Values values;
  for (const auto& [key, value] : self.dict().entries) values.push_back(value);
  return make_sequence(meter, std::move(values), Form::values);
}

Value dict_get(Meter& meter, const Value& self, const Arguments& arguments) {
  const Parameters given(arguments, "get", {"key", "default"}, 1);
  const Value* found = self.dict().find(key_of(meter, given[0]));
  return found ? *found : given.has(1) ? given[1] : Value(Value::None());
}

Value copied(Meter&, const Value& self, const Arguments& arguments) {
  Parameters(arguments, "copy", {});
  return self;  // nothing can change it
}

/// What Jinja's immutable sandbox refuses, too.
template <int kOfDict>
Value refused(Meter&, const Value&, const Arguments&) {
  fail("expected a template that changes no {}, got a method that does; build a new one with +",
       kOfDict ? "dict" : "list");
}

Value list_index(Meter& meter, const Value& self, const Arguments& arguments) {
  const Parameters given(arguments, "index", {"value"}, 1);
  const Values& all = self.sequence().elements;
  for (size_t i = 0; i < all.size(); ++i)
    if (equal(meter, all[i], given[0])) return Value(static_cast<int64_t>(i));
  fail("index: expected a value of the list, got one that it does not have");
}

Value list_count(Meter& meter, const Value& self, const Arguments& arguments) {
  const Parameters given(arguments, "count", {"value"}, 1);
  const Values& all = self.sequence().elements;
  return Value(static_cast<int64_t>(
      std::count_if(all.begin(), all.end(), [&](const Value& one) { return equal(meter, one, given[0]); })));
}

Value loop_cycle(Meter&, const Value& self, const Arguments& arguments) {
  GW_CHECK(!arguments.positional.empty() && arguments.named.empty(),
           "cycle: expected values to take turns, got none");
  return arguments.positional[self.loop().index % arguments.positional.size()];
}

Value loop_changed(Meter& meter, const Value& self, const Arguments& arguments) {
  GW_CHECK(arguments.named.empty(), "changed: expected values without names");
  Value now = make_sequence(meter, arguments.positional, Form::tuple);
  Loop& loop = self.loop();
  const bool changed = !loop.asked || !equal(meter, loop.changed, now);
  loop.changed = std::move(now);
  loop.asked = true;
  return Value(changed);
}

const std::vector<NamedFunction> kDictMethods = {
    {"clear", refused<1>},  {"copy", copied},       {"get", dict_get},       {"items", dict_items},
    {"keys", dict_keys},    {"pop", refused<1>},    {"popitem", refused<1>}, {"setdefault", refused<1>},
    {"update", refused<1>}, {"values", dict_values}};
const std::vector<NamedFunction> kListMethods = {
    {"append", refused<0>}, {"clear", refused<0>},   {"copy", copied},       {"count", list_count},
    {"extend", refused<0>}, {"index", list_index},   {"insert", refused<0>}, {"pop", refused<0>},
    {"remove", refused<0>}, {"reverse", refused<0>}, {"sort", refused<0>}};
const std::vector<NamedFunction> kTupleMethods = {{"count", list_count}, {"index", list_index}};
const std::vector<NamedFunction> kLoopMethods = {{"changed", loop_changed}, {"cycle", loop_cycle}};
const std::vector<NamedFunction> kNone;

const std::vector<NamedFunction>& methods(const Value& value) {
  switch (value.kind()) {
    case Kind::text:
      return text_methods();
    case Kind::dict:
      return kDictMethods;
    case Kind::loop:
      return kLoopMethods;
    case Kind::sequence:
      if (value.sequence().form == Form::list) return kListMethods;
      return value.sequence().form <= Form::range ? kTupleMethods : kNone;
    default:
      return kNone;
  }
}

}  // namespace

const NamedFunction* find_function(const std::vector<NamedFunction>& functions, const std::string& name) {
  const auto found =
      std::lower_bound(functions.begin(), functions.end(), name,
                       [](const NamedFunction& one, const std::string& wanted) { return one.name < wanted; });
  return found != functions.end() && found->name == name ? &*found : nullptr;
}

std::vector<std::string> names_of(const std::vector<NamedFunction>& functions) {
  std::vector<std::string> names;
  for (const auto& one : functions) names.emplace_back(one.name);
  return names;
}

std::optional<Value> method_of(const Value& value, const std::string& name) {
  const NamedFunction* found = find_function(methods(value), name);
  if (found == nullptr) return std::nullopt;
  auto bound = std::make_shared<Callable>();
  bound->name = name;
  bound->function = found->function;
  bound->self = value;
  return Value(std::shared_ptr<const Callable>(std::move(bound)));
}

std::vector<std::string> method_names(const Value& value) { return names_of(methods(value)); }

}  // namespace gw::inline text::jinja
