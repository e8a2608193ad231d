// Elements, attributes and slices of values.
#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/template/characters.h"
#include "gatewright/text/template/methods.h"
#include "gatewright/text/template/operators.h"
#include "gatewright/text/template/printing.h"

namespace gw::inline text::jinja {
namespace {

using Kind = Value::Kind;
using Form = Sequence::Form;

Value missing(const Value& value, const std::string& name) {
  return Value::undefined(fmt::format("a {} without \"{}\"", type_name(value), shown(name, 60)));
}

Value loop_attribute(const Value& value, const std::string& name) {
  const Loop& loop = value.loop();
  const Values& all = loop.elements->elements;
  const auto index = static_cast<int64_t>(loop.index), size = static_cast<int64_t>(all.size());
  if (name == "index") return Value(index + 1);
  if (name == "index0") return Value(index);
  if (name == "revindex") return Value(size - index);
  if (name == "revindex0") return Value(size - index - 1);
  if (name == "first") return Value(index == 0);
  if (name == "last") return Value(index + 1 == size);
  if (name == "length") return Value(size);
  if (name == "depth" || name == "depth0") return Value(int64_t{name == "depth"});  // counts recursive loops
  if (name == "previtem")
    return index > 0 ? all[loop.index - 1] : Value::undefined("the first element has no previtem");
  if (name == "nextitem")
    return index + 1 < size ? all[loop.index + 1] : Value::undefined("the last element has no nextitem");
  return missing(value, name);
}

Value element(Meter& meter, const Value& value, int64_t index) {
  const bool text = value.is_text();
  const int64_t size = length(meter, value);
  if (index < 0) index += size;
  if (index < 0 || index >= size)
    return Value::undefined(fmt::format("a {} of {} without element {}", type_name(value), size, index));
  if (!text) return value.sequence().elements[static_cast<size_t>(index)];
  const std::string& all = value.text();
  const size_t start = byte_of(all, static_cast<size_t>(index));
  return Value(all.substr(start, byte_of(std::string_view(all).substr(start), 1)));
}

bool is_indexed(const Value& value) {
  return value.is_text() || (value.is(Kind::sequence) && value.sequence().form <= Form::range);
}

/// A bound of a slice in Python's way: negative ones count from the end, those outside become the end.
int64_t bound(const Value& given, int64_t size, int64_t step, int64_t otherwise) {
  if (given.is_none()) return otherwise;
  GW_CHECK(given.is_whole(), "expected whole numbers in a slice, got a {}", type_name(given));
  int64_t at = given.whole();
  if (at < 0) at = at < -size ? -1 : at + size;
  return step > 0 ? std::clamp<int64_t>(at, 0, size) : std::clamp<int64_t>(at, -1, size - 1);
}

}  // namespace

Value item(Meter& meter, const Value& value, const Value& key) {
  meter.step();
  GW_CHECK(!value.is_undefined(), "expected a value before […], got none: {}", value.reason());
  if (value.is(Kind::dict)) {
    const bool hashable =
        !key.is(Kind::dict) && !(key.is(Kind::sequence) && key.sequence().form != Form::tuple);
    if (hashable)
      if (const Value* found = value.dict().find(key_of(meter, key))) return *found;
  }
  if (key.is_whole() && is_indexed(value)) return element(meter, value, key.whole());
  if (!key.is_text())
    return Value::undefined(fmt::format("a {} without {}", type_name(value), brief(meter, key)));
  return value.is(Kind::dict) ? method_of(value, key.text()).value_or(missing(value, key.text()))
                              : attribute(meter, value, key.text());
}

Value attribute(Meter& meter, const Value& value, const std::string& name) {
  meter.step();
  GW_CHECK(!value.is_undefined(), "expected a value before .{}, got none: {}", shown(name, 60),
           value.reason());
  if (auto method = method_of(value, name)) return *method;
  if (value.is(Kind::dict)) {
    const Value* found = value.dict().find_text(name);
    return found ? *found : missing(value, name);
  }
  if (value.is(Kind::names)) {
    const auto found = value.names().values.find(name);
    return found != value.names().values.end() ? found->second : missing(value, name);
  }
  return value.is(Kind::loop) ? loop_attribute(value, name) : missing(value, name);
}

Value slice(Meter& meter, const Value& value, const Value& start, const Value& stop, const Value& step) {
  GW_CHECK(!value.is_undefined(), "expected a value before […], got none: {}", value.reason());
  GW_CHECK(is_indexed(value), "expected a text or list to take a slice of, got a {}", type_name(value));
  GW_CHECK(step.is_none() || (step.is_whole() && step.whole() != 0),
           "expected a step that is a whole number and not 0");
  const int64_t size = length(meter, value), limit = size + 1;
  const int64_t by = step.is_none() ? 1 : std::clamp(step.whole(), -limit, limit);
  const int64_t first = bound(start, size, by, by > 0 ? 0 : size - 1),
                last = bound(stop, size, by, by > 0 ? size : -1);
  if (value.is_text() && by == 1) {
    const std::string& all = value.text();
    const size_t from = byte_of(all, static_cast<size_t>(first));
    meter.text(all.size());
    return Value(first >= last ? "" : all.substr(from, byte_of(all, static_cast<size_t>(last)) - from));
  }
  const auto all = elements_of(meter, value, "a slice");
  Values chosen;
  for (int64_t i = first; by > 0 ? i < last : i > last; i += by)
    chosen.push_back(all->elements[static_cast<size_t>(i)]);
  if (!value.is_text())
    return make_sequence(meter, std::move(chosen),
                         value.sequence().form == Form::range ? Form::list : value.sequence().form);
  std::string text;
  for (const Value& one : chosen) text += one.text();
  return Value(std::move(text));
}

}  // namespace gw::inline text::jinja
