#include <cmath>
#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/text/template/format.h"
#include "gatewright/text/template/operators.h"

namespace gw::inline text::jinja {
namespace {

constexpr const char* kSigns[] = {"+", "-", "*", "/", "//", "%", "**"};

const char* sign(Operator op) { return kSigns[static_cast<size_t>(op)]; }

[[noreturn]] void refuse(Operator op, const Value& a, const Value& b) {
  for (const Value* one : {&a, &b})
    if (one->is_undefined())
      fail("expected values on both sides of {}, got none: {}", sign(op), one->reason());
  fail("expected operands that {} takes, got {} and {}", sign(op), type_name(a), type_name(b));
}

int64_t whole_power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  bool fits = true;
  while (exponent > 0) {
    if (exponent & 1) fits = fits && !__builtin_mul_overflow(result, base, &result);
    exponent >>= 1;
    if (exponent > 0) fits = fits && !__builtin_mul_overflow(base, base, &base);
    if (!fits) break;
  }
  GW_CHECK(fits, "expected whole numbers of 64 bits, got a larger power");
  return result;
}

Value wholes(Operator op, int64_t a, int64_t b) {
  const bool divides = op == Operator::divide || op == Operator::floor_divide || op == Operator::modulo;
  GW_CHECK(!divides || b != 0, "expected a divisor that is not 0, got {} {} 0", a, sign(op));
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case Operator::add:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case Operator::subtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case Operator::multiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case Operator::divide:
      return Value(static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b)));
    case Operator::floor_divide:
      overflow = b == -1 && a == std::numeric_limits<int64_t>::min();
      if (!overflow) result = a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
      break;
    case Operator::modulo:
      result = b == -1 ? 0 : a % b;
      if (result != 0 && (result < 0) != (b < 0)) result += b;
      break;
    case Operator::power:
      if (b < 0) {
        GW_CHECK(a != 0, "expected a base that is not 0 with a negative exponent, got 0");
        return Value(std::pow(static_cast<double>(a), static_cast<double>(b)));
      }
      return Value(whole_power(a, b));
  }
  GW_CHECK(!overflow, "expected whole numbers of 64 bits, got {} {} {}", a, sign(op), b);
  return Value(result);
}

/// Python's float %: the sign of the divisor.
double remainder_of(double a, double b) {
  double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (b < 0) != (rest < 0) ? rest + b : rest;
}

double floor_divided(double a, double b) {
  double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0 && (b < 0) != (rest < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

Value reals(Operator op, double a, double b) {
  const bool divides = op == Operator::divide || op == Operator::floor_divide || op == Operator::modulo;
  GW_CHECK(!divides || b != 0, "expected a divisor that is not 0, got {} {} 0", a, sign(op));
  switch (op) {
    case Operator::add:
      return Value(a + b);
    case Operator::subtract:
      return Value(a - b);
    case Operator::multiply:
      return Value(a * b);
    case Operator::divide:
      return Value(a / b);
    case Operator::floor_divide:
      return Value(floor_divided(a, b));
    case Operator::modulo:
      return Value(remainder_of(a, b));
    default:
      break;
  }
  const double power = std::pow(a, b);
  GW_CHECK(!(std::isinf(power) && std::isfinite(a) && std::isfinite(b)) &&
               !(std::isnan(power) && a == a && b == b),
           "expected a power that is a real number, got {} ** {}", a, b);
  return Value(power);
}

/// A text, list or tuple `times` in a row.
Value repeated(Meter& meter, const Value& value, int64_t times) {
  const auto count = static_cast<uint64_t>(std::max<int64_t>(times, 0));
  const size_t size = value.is_text() ? value.text().size() : value.sequence().elements.size();
  GW_CHECK(size == 0 || count <= kTextLimit_bytes / size,
           "expected a product of at most {} characters or elements, got {} × {}", kTextLimit_bytes, size,
           count);
  meter.text(value.is_text() ? size * count : 0);
  if (value.is_text()) {
    std::string out;
    out.reserve(size * count);
    for (uint64_t i = 0; size > 0 && i < count; ++i) out += value.text();
    return Value(std::move(out));
  }
  meter.step(size * count);
  Values out;
  for (uint64_t i = 0; size > 0 && i < count; ++i)
    out.insert(out.end(), value.sequence().elements.begin(), value.sequence().elements.end());
  return make_sequence(meter, std::move(out), value.sequence().form);
}

bool is_list(const Value& value) {
  return value.is(Value::Kind::sequence) && value.sequence().form <= Sequence::Form::tuple;
}

Value sum(Meter& meter, const Value& a, const Value& b) {
  if (a.is_text() && b.is_text()) {
    meter.text(a.text().size() + b.text().size());
    return Value(a.text() + b.text());
  }
  if (!is_list(a) || !is_list(b) || a.sequence().form != b.sequence().form) refuse(Operator::add, a, b);
  meter.step(a.sequence().elements.size() + b.sequence().elements.size());
  Values all = a.sequence().elements;
  all.insert(all.end(), b.sequence().elements.begin(), b.sequence().elements.end());
  return make_sequence(meter, std::move(all), a.sequence().form);
}

}  // namespace

Value arithmetic(Meter& meter, Operator op, const Value& a, const Value& b) {
  if (a.is_whole() && b.is_whole()) return wholes(op, a.whole(), b.whole());
  if (a.is_number() && b.is_number()) return reals(op, a.real(), b.real());
  if (op == Operator::add) return sum(meter, a, b);
  if (op == Operator::modulo && a.is_text()) {
    const bool many = b.is(Value::Kind::sequence) && b.sequence().form == Sequence::Form::tuple;
    return Value(format_percent(meter, a.text(), many ? b.sequence().elements : Values{b}));
  }
  if (op == Operator::multiply && (a.is_text() || is_list(a)) && b.is_whole())
    return repeated(meter, a, b.whole());
  if (op == Operator::multiply && (b.is_text() || is_list(b)) && a.is_whole())
    return repeated(meter, b, a.whole());
  refuse(op, a, b);
}

Value negated(const Value& value) {
  if (value.is(Value::Kind::real)) return Value(-value.real());
  GW_CHECK(value.is_whole(), "expected a number after -, got {}",
           value.is_undefined() ? value.reason() : type_name(value));
  return wholes(Operator::subtract, 0, value.whole());
}

}  // namespace gw::inline text::jinja
