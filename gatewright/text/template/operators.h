#pragma once
// Python's operators on the values of a template.
#include <string_view>

#include "gatewright/text/template/value.h"

namespace gw::inline text::jinja {

enum class Operator : uint8_t { add, subtract, multiply, divide, floor_divide, modulo, power };
enum class Comparison : uint8_t { equal, unequal, less, less_equal, greater, greater_equal, in, not_in };

bool truth(const Value& value);
bool equal(Meter& meter, const Value& a, const Value& b);
/// Negative, 0 or positive. Errors: ValueError for values that have no order. NaN compares as greater.
int order(Meter& meter, const Value& a, const Value& b);
bool compare(Meter& meter, Comparison comparison, const Value& a, const Value& b);
bool contains(Meter& meter, const Value& container, const Value& element);

/// Errors: ValueError for operands that the operator does not take, division by 0, and whole numbers beyond
/// 64 bits
///         (Python's have no end).
Value arithmetic(Meter& meter, Operator op, const Value& a, const Value& b);
Value negated(const Value& value);

/// Characters of a text, elements of a sequence, entries of a dict. Errors: ValueError for what has no
/// length.
int64_t length(Meter& meter, const Value& value);
/// value[key], where a text may also name a method; undefined if there is no such element.
Value item(Meter& meter, const Value& value, const Value& key);
/// value.name: a method before a key, as Jinja has it; undefined if there is neither.
Value attribute(Meter& meter, const Value& value, const std::string& name);
/// value[start:stop:step]; none where a bound is left out.
Value slice(Meter& meter, const Value& value, const Value& start, const Value& stop, const Value& step);

}  // namespace gw::inline text::jinja
