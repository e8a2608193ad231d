// Filters of what has elements.
#include <algorithm>
#include <unordered_set>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/template/characters.h"
#include "gatewright/text/template/filters.h"
#include "gatewright/text/template/operators.h"
#include "gatewright/text/template/predicates.h"
#include "gatewright/text/template/printing.h"

namespace gw::inline text::jinja {
namespace {

using Kind = Value::Kind;
using Form = Sequence::Form;

/// The attribute "a.b.0" of a value, part by part.
class Getter {
 public:
  Getter(Meter& meter, const Value& path, Value otherwise = {})
      : meter_(meter), otherwise_(std::move(otherwise)) {
    if (path.is_whole()) {
      parts_.push_back(path);
      return;
    }
    GW_CHECK(path.is_text(), "expected the name of an attribute, got a {}", type_name(path));
    const std::string& text = path.text();
    meter.text(text.size());
    for (size_t at = 0; at <= text.size();) {
      const size_t end = std::min(text.find('.', at), text.size());
      const std::string part = text.substr(at, end - at);
      const bool digits =
          !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == std::string::npos;
      parts_.push_back(digits ? Value(int64_t{std::stoi(part)}) : Value(part));
      meter.step();
      at = end + 1;
    }
  }

  Value operator()(Value value) const {
    for (const Value& part : parts_) {
      value = item(meter_, value, part);
      if (value.is_undefined() && !otherwise_.is_undefined() && !otherwise_.is_none()) value = otherwise_;
    }
    return value;
  }

 private:
  Meter& meter_;
  Values parts_;
  Value otherwise_;
};

Value generator(Meter& meter, Values values) {
  return make_sequence(meter, std::move(values), Form::generator);
}

/// Arguments after the first `count`, for the filter or test that these name.
Arguments rest_of(const Arguments& arguments, size_t count) {
  return {{arguments.positional.begin() + static_cast<std::ptrdiff_t>(count), arguments.positional.end()},
          arguments.named};
}

Value map(Meter& meter, const Value& value, const Arguments& arguments) {
  Values mapped;
  if (!truth(value)) return generator(meter, {});  // also of 0, as Jinja has it
  if (arguments.positional.empty() && arguments.find("attribute")) {
    const Parameters given(arguments, "map", {"attribute", "default"}, 1);
    const Getter get(meter, given[0], given[1]);
    const auto all = elements_of(meter, value, "map");
    for (const Value& one : all->elements) mapped.push_back(get(one));
    return generator(meter, std::move(mapped));
  }
  GW_CHECK(!arguments.positional.empty() && arguments.positional[0].is_text(),
           "map: expected the name of a filter, or attribute=…");
  const std::string name = arguments.positional[0].text();
  const Arguments rest = rest_of(arguments, 1);
  const auto all = elements_of(meter, value, "map");
  for (const Value& one : all->elements) {
    mapped.push_back(filtered(meter, name, one, rest));
  }
  return generator(meter, std::move(mapped));
}

/// select, reject, selectattr and rejectattr.
template <bool kAttribute, bool kWanted>
Value select(Meter& meter, const Value& value, const Arguments& arguments) {
  const size_t first = kAttribute ? 1 : 0;
  if (!truth(value)) return generator(meter, {});  // also of 0, as Jinja has it
  GW_CHECK(arguments.positional.size() >= first, "selectattr: expected the name of an attribute, got none");
  std::optional<Getter> get;
  if (kAttribute) get.emplace(meter, arguments.positional[0]);
  const bool tested = arguments.positional.size() > first;
  GW_CHECK(!tested || arguments.positional[first].is_text(), "select: expected the name of a test, got a {}",
           type_name(arguments.positional[first]));
  const std::string name = tested ? arguments.positional[first].text() : "";
  const Arguments rest = rest_of(arguments, first + (tested ? 1 : 0));
  Values chosen;
  const auto all = elements_of(meter, value, "select");
  for (const Value& one : all->elements) {
    const Value looked_at = get ? (*get)(one) : one;
    if ((tested ? passes(meter, name, looked_at, rest) : truth(looked_at)) == kWanted) chosen.push_back(one);
  }
  return generator(meter, std::move(chosen));
}

Value join(Meter& meter, const Value& value, const Arguments& arguments) {
  const Parameters given(arguments, "join", {"d", "attribute"});
  const std::string between = printed(meter, given[0]);
  std::optional<Getter> get;
  if (given.has(1) && !given[1].is_none()) get.emplace(meter, given[1]);
  std::string out;
  bool begun = false;
  const auto all = elements_of(meter, value, "join");
  for (const Value& one : all->elements) {
    meter.grow(out.size(), between.size());
    if (begun) out += between;
    print(meter, get ? (*get)(one) : one, out);
    begun = true;
  }
  return Value(std::move(out));
}

Value to_list(Meter& meter, const Value& value, const Arguments& arguments) {
  Parameters(arguments, "list", {});
  return make_sequence(meter, elements_of(meter, value, "list")->elements);
}

Value first(Meter& meter, const Value& value, const Arguments& arguments) {
  Parameters(arguments, "first", {});
  const auto all = elements_of(meter, value, "first");
  return all->elements.empty() ? Value::undefined("no first element: there is none") : all->elements.front();
}

Value last(Meter& meter, const Value& value, const Arguments& arguments) {
  Parameters(arguments, "last", {});
  const bool generated = value.is(Kind::sequence) && value.sequence().form == Form::generator;
  GW_CHECK(!generated, "last: expected a list, got a generator; put |list before it");
  const auto all = elements_of(meter, value, "last");
  return all->elements.empty() ? Value::undefined("no last element: there is none") : all->elements.back();
}

Value length_of(Meter& meter, const Value& value, const Arguments& arguments) {
  Parameters(arguments, "length", {});
  return Value(length(meter, value));
}

Value items(Meter& meter, const Value& value, const Arguments& arguments) {
  Parameters(arguments, "items", {});
  if (value.is_undefined()) return generator(meter, {});
  GW_CHECK(value.is(Kind::dict), "items: expected a dict, got a {}", type_name(value));
  Values pairs;
  for (const auto& [key, one] : value.dict().entries)
    pairs.push_back(make_sequence(meter, {key, one}, Form::tuple));
  return generator(meter, std::move(pairs));
}

Value reverse(Meter& meter, const Value& value, const Arguments& arguments) {
  Parameters(arguments, "reverse", {});
  const auto all = elements_of(meter, value, "reverse");
  if (!value.is_text()) return generator(meter, {all->elements.rbegin(), all->elements.rend()});
  std::string out;
  for (auto one = all->elements.rbegin(); one != all->elements.rend(); ++one) out += one->text();
  return Value(std::move(out));
}

/// What values are sorted and told apart by: an attribute, in lower case unless case matters.
Value folded(Meter& meter, const Value& value, bool case_sensitive) {
  if (case_sensitive || !value.is_text()) return value;
  meter.step(value.text().size() / 16);
  return Value(lower(value.text()));
}

/// `values` in the order of their keys; equal ones stay as they are, also when reversed.
Values sorted(Meter& meter, const Values& values, const Values& keys, bool reversed) {
  std::vector<size_t> places(values.size());
  for (size_t i = 0; i < places.size(); ++i) places[i] = i;
  std::stable_sort(places.begin(), places.end(), [&](size_t a, size_t b) {
    return compare(meter, Comparison::less, reversed ? keys[b] : keys[a], reversed ? keys[a] : keys[b]);
  });
  Values out;
  for (const size_t place : places) out.push_back(values[place]);
  return out;
}

Value sort(Meter& meter, const Value& value, const Arguments& arguments) {
  const Parameters given(arguments, "sort", {"reverse", "case_sensitive", "attribute"});
  const bool by_attribute = given.has(2) && !given[2].is_none();
  GW_CHECK(!by_attribute || !given[2].is_text() || given[2].text().find(',') == std::string::npos,
           "sort: expected one attribute, got several; sort by one after the other");
  std::optional<Getter> get;
  if (by_attribute) get.emplace(meter, given[2]);
  const auto all = elements_of(meter, value, "sort");
  Values keys;
  for (const Value& one : all->elements)
    keys.push_back(folded(meter, get ? (*get)(one) : one, given.truth(1, false)));
  return make_sequence(meter, sorted(meter, all->elements, keys, given.truth(0, false)));
}

Value dictsort(Meter& meter, const Value& value, const Arguments& arguments) {
  const Parameters given(arguments, "dictsort", {"case_sensitive", "by", "reverse"});
  GW_CHECK(value.is(Kind::dict), "dictsort: expected a dict, got a {}", type_name(value));
  const std::string by = given.has(1) ? given.text(1) : "key";
  GW_CHECK(by == "key" || by == "value", "dictsort: expected by=\"key\" or by=\"value\", got \"{}\"",
           shown(by, 60));
  Values pairs, keys;
  for (const auto& [key, one] : value.dict().entries) {
    pairs.push_back(make_sequence(meter, {key, one}, Form::tuple));
    keys.push_back(folded(meter, by == "key" ? key : one, given.truth(0, false)));
  }
  return make_sequence(meter, sorted(meter, pairs, keys, given.truth(2, false)));
}

Value unique(Meter& meter, const Value& value, const Arguments& arguments) {
  const Parameters given(arguments, "unique", {"case_sensitive", "attribute"});
  std::optional<Getter> get;
  if (given.has(1) && !given[1].is_none()) get.emplace(meter, given[1]);
  std::unordered_set<std::string> seen;
  Values kept;
  const auto all = elements_of(meter, value, "unique");
  for (const Value& one : all->elements)
    if (seen.insert(key_of(meter, folded(meter, get ? (*get)(one) : one, given.truth(0, false)))).second)
      kept.push_back(one);
  return generator(meter, std::move(kept));
}

/// min and max.
template <bool kLargest>
Value extreme(Meter& meter, const Value& value, const Arguments& arguments) {
  const Parameters given(arguments, kLargest ? "max" : "min", {"case_sensitive", "attribute"});
  std::optional<Getter> get;
  if (given.has(1) && !given[1].is_none()) get.emplace(meter, given[1]);
  const auto all = elements_of(meter, value, kLargest ? "max" : "min");
  if (all->elements.empty()) return Value::undefined("no smallest or largest element: there is none");
  const auto key = [&](const Value& one) {
    return folded(meter, get ? (*get)(one) : one, given.truth(0, false));
  };
  const Value* best = &all->elements[0];
  for (const Value& one : all->elements)
    if (&one != best &&
        compare(meter, kLargest ? Comparison::greater : Comparison::less, key(one), key(*best)))
      best = &one;
  return *best;
}

Value sum(Meter& meter, const Value& value, const Arguments& arguments) {
  const Parameters given(arguments, "sum", {"attribute", "start"});
  std::optional<Getter> get;
  if (given.has(0) && !given[0].is_none()) get.emplace(meter, given[0]);
  Value total = given.has(1) ? given[1] : Value(int64_t{0});
  GW_CHECK(!total.is_text(), "sum: expected numbers, got a text; use join");
  const auto all = elements_of(meter, value, "sum");
  for (const Value& one : all->elements)
    total = arithmetic(meter, Operator::add, total, get ? (*get)(one) : one);
  return total;
}

Value attr(Meter& meter, const Value& value, const Arguments& arguments) {
  const Parameters given(arguments, "attr", {"name"}, 1);
  const std::string name = printed(meter, given[0]);
  if (!value.is(Kind::dict)) return attribute(meter, value, name);
  return method_of(value, name).value_or(Value::undefined("a dict without that attribute"));
}

}  // namespace

const std::vector<NamedFunction>& element_filters() {
  static const std::vector<NamedFunction> kFilters = {{"attr", attr},
                                                      {"count", length_of},
                                                      {"dictsort", dictsort},
                                                      {"first", first},
                                                      {"items", items},
                                                      {"join", join},
                                                      {"last", last},
                                                      {"length", length_of},
                                                      {"list", to_list},
                                                      {"map", map},
                                                      {"max", extreme<true>},
                                                      {"min", extreme<false>},
                                                      {"reject", select<false, false>},
                                                      {"rejectattr", select<true, false>},
                                                      {"reverse", reverse},
                                                      {"select", select<false, true>},
                                                      {"selectattr", select<true, true>},
                                                      {"sort", sort},
                                                      {"sum", sum},
                                                      {"unique", unique}};
  return kFilters;
}

}  // namespace gw::inline text::jinja
