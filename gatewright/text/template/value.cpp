#include "gatewright/text/template/value.h"

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/text/template/characters.h"
#include "gatewright/text/template/printing.h"

namespace gw::inline text::jinja {
namespace {

/// Levels of a value that is put into another. Errors: ValueError for what may not be.
int depth_within(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::sequence:
      return value.sequence().depth;
    case Value::Kind::dict:
      return value.dict().depth;
    case Value::Kind::names:
    case Value::Kind::callable:
    case Value::Kind::loop:
      fail("expected texts, numbers, lists or dicts in a list, dict or namespace, got a {}",
           type_name(value));
    default:
      return 0;
  }
}

int deeper(int depth, const Value& value) {
  depth = std::max(depth, 1 + depth_within(value));
  GW_CHECK(depth <= kValueLimit, "expected at most {} lists and dicts within each other, got more",
           kValueLimit);
  return depth;
}

}  // namespace

Value Value::undefined(std::string reason) {
  Value value;
  value.held_ = Undefined{std::make_shared<const std::string>(std::move(reason))};
  return value;
}

std::string Value::reason() const {
  const auto& reason = std::get<Undefined>(held_).reason;
  return reason ? *reason : "the value is undefined";
}

bool Value::same(const Value& other) const {
  if (held_.index() != other.held_.index()) return false;
  return std::visit(
      [&](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, None>)
          return true;
        else if constexpr (std::is_same_v<T, Undefined>)
          return value.reason == std::get<T>(other.held_).reason;
        else
          return value == std::get<T>(other.held_);
      },
      held_);
}

const Value* Dict::find(const std::string& key) const {
  const auto found = places.find(key);
  return found == places.end() ? nullptr : &entries[found->second].second;
}

const Value* Dict::find_text(std::string_view name) const { return find("s" + std::string(name)); }

Value make_sequence(Meter& meter, Values elements, Sequence::Form form) {
  meter.step(elements.size());
  auto made = std::make_shared<Sequence>();
  for (const Value& element : elements) made->depth = deeper(made->depth, element);
  made->elements = std::move(elements);
  made->form = form;
  return Value(std::shared_ptr<const Sequence>(std::move(made)));
}

void put(Meter& meter, Dict& dict, const Value& key, Value value) {
  meter.step();
  dict.depth = deeper(deeper(dict.depth, value), key);
  const auto [place, fresh] = dict.places.try_emplace(key_of(meter, key), dict.entries.size());
  if (fresh)
    dict.entries.emplace_back(key, std::move(value));
  else
    dict.entries[place->second].second = std::move(value);
}

std::string key_of(Meter& meter, const Value& key) {
  meter.step();
  switch (key.kind()) {
    case Value::Kind::undefined:
      return "u";
    case Value::Kind::none:
      return "n";
    case Value::Kind::text:
      meter.text(key.text().size());
      return "s" + key.text();
    case Value::Kind::real:
      if (key.real() != std::floor(key.real()) || std::abs(key.real()) >= 0x1p63)
        return "f" + shown_real(key.real());
      return "i" + std::to_string(static_cast<int64_t>(key.real()));
    case Value::Kind::boolean:
    case Value::Kind::integer:
      return "i" + std::to_string(key.whole());
    case Value::Kind::sequence:
      if (key.sequence().form == Sequence::Form::tuple) {
        std::string all = "t";
        for (const Value& element : key.sequence().elements) {
          const std::string one = key_of(meter, element);
          all += std::to_string(one.size()) + ":" + one;
          meter.grow(all.size(), 0);
        }
        return all;
      }
      [[fallthrough]];
    default:
      fail("expected a text, number or tuple as a key, got a {}", type_name(key));
  }
}

const char* type_name(const Value& value) {
  static constexpr const char* kForms[] = {"list",        "tuple",      "range",    "dict_keys",
                                           "dict_values", "dict_items", "generator"};
  static constexpr const char* kNames[] = {"undefined value", "None",     "bool", "int",
                                           "float",           "str",      "list", "dict",
                                           "namespace",       "function", "loop"};
  if (value.is(Value::Kind::sequence)) return kForms[static_cast<size_t>(value.sequence().form)];
  return kNames[static_cast<size_t>(value.kind())];
}

bool is_iterable(const Value& value) {
  return value.is_undefined() || value.is_text() || value.is(Value::Kind::sequence) ||
         value.is(Value::Kind::dict);
}

std::shared_ptr<const Sequence> elements_of(Meter& meter, const Value& value, const char* what) {
  static const auto nothing = std::make_shared<const Sequence>();
  if (value.is(Value::Kind::sequence)) {
    const auto& sequence = value.shared_sequence();
    meter.step(sequence->elements.size());
    if (sequence->form != Sequence::Form::generator) return sequence;
    if (sequence->used) return nothing;
    sequence->used = true;
    return sequence;
  }
  if (value.is_undefined()) return nothing;
  Values elements;
  if (value.is(Value::Kind::dict)) {
    for (const auto& [key, unused] : value.dict().entries) elements.push_back(key);
  } else {
    GW_CHECK(value.is_text(), "{}: expected something with elements, got {} of type {}", what,
             brief(meter, value), type_name(value));
    meter.step(value.text().size());
    for (const std::string_view one : characters(value.text())) elements.emplace_back(std::string(one));
  }
  return make_sequence(meter, std::move(elements)).shared_sequence();
}

}  // namespace gw::inline text::jinja
