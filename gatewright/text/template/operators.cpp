#include "gatewright/text/template/operators.h"

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/template/characters.h"
#include "gatewright/text/template/methods.h"
#include "gatewright/text/template/printing.h"

namespace gw::inline text::jinja {
namespace {

using Kind = Value::Kind;
using Form = Sequence::Form;

bool equal_sequences(Meter& meter, const Sequence& a, const Sequence& b) {
  if (a.form != b.form || a.form > Form::range || a.elements.size() != b.elements.size()) return false;
  return std::equal(a.elements.begin(), a.elements.end(), b.elements.begin(),
                    [&](const Value& x, const Value& y) { return x.same(y) || equal(meter, x, y); });
}

bool equal_dicts(Meter& meter, const Dict& a, const Dict& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    const Value* other = b.find(key_of(meter, key));
    if (other == nullptr || !(value.same(*other) || equal(meter, value, *other))) return false;
  }
  return true;
}

int order_sequences(Meter& meter, const Values& a, const Values& b) {
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    if (!a[i].same(b[i]) && !equal(meter, a[i], b[i])) return order(meter, a[i], b[i]);
  return a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
}

bool ordered_reals(Comparison comparison, long double a, long double b) {
  switch (comparison) {
    case Comparison::less:
      return a < b;
    case Comparison::less_equal:
      return a <= b;
    case Comparison::greater:
      return a > b;
    default:
      return a >= b;
  }
}

/// Whole numbers of 64 bits fit.
long double wide(const Value& value) {
  return value.is_whole() ? static_cast<long double>(value.whole()) : value.real();
}

}  // namespace

bool truth(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
    case Kind::integer:
      return value.whole() != 0;
    case Kind::real:
      return value.real() != 0;
    case Kind::text:
      return !value.text().empty();
    case Kind::sequence:
      return value.sequence().form == Form::generator || !value.sequence().elements.empty();
    case Kind::dict:
      return !value.dict().entries.empty();
    default:
      return true;
  }
}

bool equal(Meter& meter, const Value& a, const Value& b) {
  meter.step();
  if (a.is_number() && b.is_number()) return wide(a) == wide(b);
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::undefined:
    case Kind::none:
      return true;
    case Kind::text:
      meter.step(std::min(a.text().size(), b.text().size()) / 64);
      return a.text() == b.text();
    case Kind::sequence:
      return a.same(b) || equal_sequences(meter, a.sequence(), b.sequence());
    case Kind::dict:
      return equal_dicts(meter, a.dict(), b.dict());
    default:
      return a.same(b);
  }
}

int order(Meter& meter, const Value& a, const Value& b) {
  meter.step();
  if (a.is_number() && b.is_number()) return wide(a) < wide(b) ? -1 : wide(a) == wide(b) ? 0 : 1;
  if (a.is_text() && b.is_text()) {
    meter.step(std::min(a.text().size(), b.text().size()) / 64);
    return a.text().compare(b.text());
  }
  for (const Value* one : {&a, &b})
    GW_CHECK(!one->is_undefined(), "expected values to compare, got none: {}", one->reason());
  const bool lists = a.is(Kind::sequence) && b.is(Kind::sequence) && a.sequence().form == b.sequence().form &&
                     a.sequence().form <= Form::tuple;
  GW_CHECK(lists, "expected values that have an order, got {} and {}", type_name(a), type_name(b));
  return order_sequences(meter, a.sequence().elements, b.sequence().elements);
}

bool contains(Meter& meter, const Value& container, const Value& element) {
  if (container.is_text()) {
    GW_CHECK(element.is_text(), "expected a text in a text, got a {}", type_name(element));
    meter.search(container.text().size(), element.text().size());
    return container.text().find(element.text()) != std::string::npos;
  }
  if (container.is(Kind::dict)) return container.dict().find(key_of(meter, element)) != nullptr;
  const auto all = elements_of(meter, container, "in");
  return std::any_of(all->elements.begin(), all->elements.end(),
                     [&](const Value& one) { return one.same(element) || equal(meter, one, element); });
}

bool compare(Meter& meter, Comparison comparison, const Value& a, const Value& b) {
  switch (comparison) {
    case Comparison::equal:
      return equal(meter, a, b);
    case Comparison::unequal:
      return !equal(meter, a, b);
    case Comparison::in:
      return contains(meter, b, a);
    case Comparison::not_in:
      return !contains(meter, b, a);
    default:
      break;
  }
  if (a.is_number() && b.is_number()) return ordered_reals(comparison, wide(a), wide(b));
  return ordered_reals(comparison, order(meter, a, b), 0);
}

int64_t length(Meter& meter, const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
      return 0;
    case Kind::text:
      meter.step(1 + value.text().size() / 64);
      return static_cast<int64_t>(count_characters(value.text()));
    case Kind::dict:
      return static_cast<int64_t>(value.dict().entries.size());
    case Kind::loop:
      return static_cast<int64_t>(value.loop().elements->elements.size());
    default:
      GW_CHECK(value.is(Kind::sequence) && value.sequence().form != Form::generator,
               "expected something that has a length, got a {}", type_name(value));
      return static_cast<int64_t>(value.sequence().elements.size());
  }
}

}  // namespace gw::inline text::jinja
