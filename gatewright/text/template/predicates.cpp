#include "gatewright/text/template/predicates.h"

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/template/filters.h"
#include "gatewright/text/template/operators.h"
#include "gatewright/text/template/printing.h"
#include "gatewright/text/template/split.h"

namespace gw::inline text::jinja {
namespace {

using Kind = Value::Kind;

template <bool (*kHolds)(const Value&)>
Value holds(Meter&, const Value& value, const Arguments& arguments) {
  Parameters(arguments, "is", {});
  return Value(kHolds(value));
}

bool is_defined(const Value& value) { return !value.is_undefined(); }
bool is_undefined(const Value& value) { return value.is_undefined(); }
bool is_none(const Value& value) { return value.is_none(); }
bool is_boolean(const Value& value) { return value.is(Kind::boolean); }
bool is_true(const Value& value) { return value.is(Kind::boolean) && value.boolean(); }
bool is_false(const Value& value) { return value.is(Kind::boolean) && !value.boolean(); }
bool is_integer(const Value& value) { return value.is(Kind::integer); }
bool is_float(const Value& value) { return value.is(Kind::real); }
bool is_number(const Value& value) { return value.is_number(); }
bool is_string(const Value& value) { return value.is_text(); }
bool is_mapping(const Value& value) { return value.is(Kind::dict); }
bool is_callable(const Value& value) { return value.is(Kind::callable) || value.is_undefined(); }
bool is_escaped(const Value&) { return false; }
bool has_elements(const Value& value) { return is_iterable(value) || value.is(Kind::loop); }

/// What has a length and takes […]: texts and dicts as well, views of dicts not.
bool is_sequence(const Value& value) {
  return value.is_text() || value.is(Kind::dict) || value.is_undefined() ||
         (value.is(Kind::sequence) && value.sequence().form <= Sequence::Form::range);
}

template <bool kUpper>
Value in_case(Meter& meter, const Value& value, const Arguments& arguments) {
  Parameters(arguments, kUpper ? "upper" : "lower", {});
  const std::string text = printed(meter, value);
  meter.step(text.size() / 16);
  return Value(is_in_case(text, kUpper));
}

Value rest_is(Meter& meter, const Value& value, const Value& divisor, int64_t wanted) {
  return Value(equal(meter, arithmetic(meter, Operator::modulo, value, divisor), Value(wanted)));
}

template <int kRest>
Value has_rest(Meter& meter, const Value& value, const Arguments& arguments) {
  Parameters(arguments, kRest ? "odd" : "even", {});
  return rest_is(meter, value, Value(int64_t{2}), kRest);
}

Value divisible(Meter& meter, const Value& value, const Arguments& arguments) {
  const Parameters given(arguments, "divisibleby", {"num"}, 1);
  return rest_is(meter, value, given[0], 0);
}

template <Comparison kComparison>
Value compares(Meter& meter, const Value& value, const Arguments& arguments) {
  const Parameters given(arguments, "is", {"other"}, 1);
  return Value(compare(meter, kComparison, value, given[0]));
}

Value same(Meter&, const Value& value, const Arguments& arguments) {
  const Parameters given(arguments, "sameas", {"other"}, 1);
  const bool plain = value.is(Kind::boolean) || value.is_none();
  GW_CHECK(plain || given[0].is(Kind::boolean) || given[0].is_none(),
           "sameas: expected true, false or none on one side; use == to compare values");
  return Value(value.same(given[0]));
}

Value is_filter(Meter&, const Value& value, const Arguments& arguments) {
  Parameters(arguments, "filter", {});
  return Value(value.is_text() && find_function(filters(), value.text()) != nullptr);
}

Value is_test(Meter&, const Value& value, const Arguments& arguments);  // looks into the table that it is in

const std::vector<NamedFunction> kTests = {{"!=", compares<Comparison::unequal>},
                                           {"<", compares<Comparison::less>},
                                           {"<=", compares<Comparison::less_equal>},
                                           {"==", compares<Comparison::equal>},
                                           {">", compares<Comparison::greater>},
                                           {">=", compares<Comparison::greater_equal>},
                                           {"boolean", holds<is_boolean>},
                                           {"callable", holds<is_callable>},
                                           {"defined", holds<is_defined>},
                                           {"divisibleby", divisible},
                                           {"eq", compares<Comparison::equal>},
                                           {"equalto", compares<Comparison::equal>},
                                           {"escaped", holds<is_escaped>},
                                           {"even", has_rest<0>},
                                           {"false", holds<is_false>},
                                           {"filter", is_filter},
                                           {"float", holds<is_float>},
                                           {"ge", compares<Comparison::greater_equal>},
                                           {"greaterthan", compares<Comparison::greater>},
                                           {"gt", compares<Comparison::greater>},
                                           {"in", compares<Comparison::in>},
                                           {"integer", holds<is_integer>},
                                           {"iterable", holds<has_elements>},
                                           {"le", compares<Comparison::less_equal>},
                                           {"lessthan", compares<Comparison::less>},
                                           {"lower", in_case<false>},
                                           {"lt", compares<Comparison::less>},
                                           {"mapping", holds<is_mapping>},
                                           {"ne", compares<Comparison::unequal>},
                                           {"none", holds<is_none>},
                                           {"number", holds<is_number>},
                                           {"odd", has_rest<1>},
                                           {"sameas", same},
                                           {"sequence", holds<is_sequence>},
                                           {"string", holds<is_string>},
                                           {"test", is_test},
                                           {"true", holds<is_true>},
                                           {"undefined", holds<is_undefined>},
                                           {"upper", in_case<true>}};

Value is_test(Meter&, const Value& value, const Arguments& arguments) {
  Parameters(arguments, "test", {});
  return Value(value.is_text() && find_function(kTests, value.text()) != nullptr);
}

}  // namespace

bool passes(Meter& meter, const std::string& name, const Value& value, const Arguments& arguments) {
  meter.step();
  const NamedFunction* test = find_function(kTests, name);
  GW_CHECK(test != nullptr, "expected a known test after \"is\", got \"{}\"{}", shown(name, 60),
           near_miss(name, names_of(kTests)));
  return truth(test->function(meter, value, arguments));
}

}  // namespace gw::inline text::jinja
