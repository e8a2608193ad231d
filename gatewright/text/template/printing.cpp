#include "gatewright/text/template/printing.h"

#include <charconv>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/template/characters.h"

namespace gw::inline text::jinja {
namespace {

constexpr size_t kBrief_bytes = 60;

/// A text between quotes, as Python's repr.
void print_quoted(Meter& meter, const std::string& text, std::string& out) {
  meter.grow(out.size(), text.size());
  meter.step(text.size() / 16);
  const bool doubled = text.find('\'') != std::string::npos && text.find('"') == std::string::npos;
  const char quote = doubled ? '"' : '\'';
  out += quote;
  for (size_t at = 0; at < text.size();) {
    const std::string_view one =
        std::string_view(text).substr(at, byte_of(std::string_view(text).substr(at, 4), 1));
    at += one.size();
    const char32_t point = code_point(one);
    if (point == static_cast<char32_t>(quote) || point == '\\')
      (out += '\\') += one;
    else if (point == '\n' || point == '\r' || point == '\t')
      out += point == '\n' ? "\\n" : point == '\r' ? "\\r" : "\\t";
    else if (!is_hidden(point))
      out += one;
    else if (point < 0x100)
      out += fmt::format("\\x{:02x}", static_cast<uint32_t>(point));
    else if (point < 0x10000)
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(point));
    else
      out += fmt::format("\\U{:08x}", static_cast<uint32_t>(point));
  }
  out += quote;
}

void print_dict(Meter& meter, const std::vector<std::pair<Value, Value>>& entries, std::string& out) {
  out += '{';
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i > 0) out += ", ";
    print_exact(meter, entries[i].first, out);
    out += ": ";
    print_exact(meter, entries[i].second, out);
  }
  out += '}';
}

void print_sequence(Meter& meter, const Sequence& sequence, std::string& out) {
  using Form = Sequence::Form;
  GW_CHECK(sequence.form != Form::generator,
           "expected a value to print, got a generator; put |list after the filter that made it");
  if (sequence.form == Form::range) {
    out += sequence.shown;
    return;
  }
  const bool view =
      sequence.form == Form::keys || sequence.form == Form::values || sequence.form == Form::items;
  const bool tuple = sequence.form == Form::tuple;
  if (view)
    out += sequence.form == Form::keys     ? "dict_keys("
           : sequence.form == Form::values ? "dict_values("
                                           : "dict_items(";
  out += tuple ? '(' : '[';
  for (size_t i = 0; i < sequence.elements.size(); ++i) {
    if (i > 0) out += ", ";
    print_exact(meter, sequence.elements[i], out);
  }
  if (tuple && sequence.elements.size() == 1) out += ',';
  out += tuple ? ')' : ']';
  if (view) out += ')';
}

void print_names(Meter& meter, const Names& names, std::string& out) {
  out += "<Namespace {";
  for (const auto& [name, value] : names.values) {
    if (out.back() != '{') out += ", ";
    print_quoted(meter, name, out);
    out += ": ";
    print_exact(meter, value, out);
  }
  out += "}>";
}

}  // namespace

std::string shown_real(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  std::string digits(buffer, end);
  const std::string sign = digits.front() == '-' ? "-" : "";
  digits.erase(0, sign.size());
  const size_t e = digits.find('e');
  const int exponent = std::stoi(digits.substr(e + 1));
  digits.resize(e);
  if (exponent < -4 || exponent >= 16)
    return sign + digits + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  std::erase(digits, '.');
  if (exponent < 0) return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.insert(whole, ".");
}

void print_exact(Meter& meter, const Value& value, std::string& out) {
  const Meter::Level level(meter);
  meter.step();
  switch (value.kind()) {
    case Value::Kind::undefined:
      out += "Undefined";
      break;
    case Value::Kind::none:
      out += "None";
      break;
    case Value::Kind::boolean:
      out += value.boolean() ? "True" : "False";
      break;
    case Value::Kind::integer:
      out += std::to_string(value.whole());
      break;
    case Value::Kind::real:
      out += shown_real(value.real());
      break;
    case Value::Kind::text:
      print_quoted(meter, value.text(), out);
      break;
    case Value::Kind::sequence:
      print_sequence(meter, value.sequence(), out);
      break;
    case Value::Kind::dict:
      print_dict(meter, value.dict().entries, out);
      break;
    case Value::Kind::names:
      print_names(meter, value.names(), out);
      break;
    default:
      fail("expected a value to print, got a {}; call it with (…)?", type_name(value));
  }
  meter.grow(out.size(), 0);
}

void print(Meter& meter, const Value& value, std::string& out) {
  if (value.is_undefined()) return;
  if (!value.is_text()) {
    print_exact(meter, value, out);
    return;
  }
  meter.grow(out.size(), value.text().size());
  out += value.text();
}

std::string printed(Meter& meter, const Value& value) {
  std::string out;
  print(meter, value, out);
  return out;
}

std::string brief(Meter& meter, const Value& value) {
  if (value.is(Value::Kind::sequence) || value.is(Value::Kind::dict) || value.is(Value::Kind::names) ||
      value.is(Value::Kind::callable) || value.is(Value::Kind::loop))
    return std::string("a ") + type_name(value);  // may be large, and is not worth its steps
  if (value.is_text()) return "\"" + shown(value.text(), kBrief_bytes) + "\"";
  return value.is_undefined() ? value.reason() : printed(meter, value);
}

}  // namespace gw::inline text::jinja
