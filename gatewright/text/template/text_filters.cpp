// Filters of texts and numbers.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/text/template/characters.h"
#include "gatewright/text/template/filters.h"
#include "gatewright/text/template/format.h"
#include "gatewright/text/template/numbers.h"
#include "gatewright/text/template/operators.h"
#include "gatewright/text/template/printing.h"
#include "gatewright/text/template/split.h"

namespace gw::inline text::jinja {
namespace {

using Kind = Value::Kind;

std::string same_text(std::string_view text) { return std::string(text); }

std::string escaped(std::string_view text) {
  std::string out;
  for (const char one : text) {
    if (one == '&')
      out += "&amp;";
    else if (one == '<' || one == '>')
      out += one == '<' ? "&lt;" : "&gt;";
    else if (one == '"' || one == '\'')
      out += one == '"' ? "&#34;" : "&#39;";
    else
      out += one;
  }
  return out;
}

/// The filter title: capital letters after white space, brackets and hyphens only, unlike the method.
std::string title(std::string_view text) {
  std::string out;
  size_t start = 0;
  for (size_t at = 0; at < text.size();) {
    const std::string_view one = text.substr(at, byte_of(text.substr(at, 4), 1));
    at += one.size();
    if (!is_space(code_point(one)) && std::string_view("-({[<").find(one[0]) == std::string_view::npos)
      continue;
    const std::string_view word = text.substr(start, at - one.size() - start);
    const size_t first = byte_of(word, 1);
    out += upper(word.substr(0, first)) + lower(word.substr(first));
    out += one;
    start = at;
  }
  const size_t first = byte_of(text.substr(start), 1);
  return out + upper(text.substr(start, first)) + lower(text.substr(start + first));
}

template <std::string (*kChange)(std::string_view)>
Value changed(Meter& meter, const Value& value, const Arguments& arguments) {
  Parameters(arguments, "a filter of texts", {});
  const std::string text = printed(meter, value);
  meter.step(text.size() / 16);
  std::string out = kChange(text);
  meter.text(out.size());
  return Value(std::move(out));
}

Value trim(Meter& meter, const Value& value, const Arguments& arguments) {
  const Parameters given(arguments, "trim", {"chars"});
  const std::string text = printed(meter, value);
  const bool blank = !given.has(0) || given[0].is_none();
  meter.search(text.size(), blank ? 0 : given.text(0).size());
  return Value(std::string(stripped(text, blank ? nullptr : &given.text(0), Side::both)));
}

Value replace(Meter& meter, const Value& value, const Arguments& arguments) {
  const Parameters given(arguments, "replace", {"old", "new", "count"}, 2);
  const bool all = !given.has(2) || given[2].is_none();
  return Value(replaced(meter, printed(meter, value), printed(meter, given[0]), printed(meter, given[1]),
                        all ? -1 : given.whole(2, -1)));
}

Value indent(Meter& meter, const Value& value, const Arguments& arguments) {
  const Parameters given(arguments, "indent", {"width", "first", "blank"});
  GW_CHECK(value.is_text(), "indent: expected a text, got a {}", type_name(value));
  const int64_t width = given[0].is_text() ? 0 : std::max<int64_t>(given.whole(0, 4), 0);
  meter.text(static_cast<size_t>(width));
  const std::string before =
      given[0].is_text() ? given.text(0) : std::string(static_cast<size_t>(width), ' ');
  const bool blank = given.truth(2, false);
  meter.step(value.text().size() / 16);
  const std::string text = value.text() + "\n";
  std::string out = given.truth(1, false) ? before : "";
  bool begun = false;
  for (const std::string_view line : lines_of(text)) {
    meter.grow(out.size(), before.size() + line.size());
    if (begun) out += '\n';
    if (begun && (blank || !line.empty())) out += before;
    out += line;
    begun = true;
  }
  return Value(std::move(out));
}

Value format(Meter& meter, const Value& value, const Arguments& arguments) {
  GW_CHECK(arguments.positional.empty() || arguments.named.empty(),
           "format: expected values with or without names, got both");
  const std::string text = printed(meter, value);
  if (arguments.named.empty()) return Value(format_percent(meter, text, arguments.positional));
  Dict named;
  for (const auto& [name, one] : arguments.named) put(meter, named, Value(name), one);
  return Value(format_percent(meter, text, {finished(std::move(named))}));
}

Value to_json(Meter& meter, const Value& value, const Arguments& arguments) {
  const Parameters given(arguments, "tojson", {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonLayout layout;
  layout.ascii = given.truth(0, false);
  layout.sorted = given.truth(3, false);
  layout.lines = given.has(1) && !given[1].is_none();
  if (layout.lines) {
    const int64_t width = given[1].is_text() ? 0 : std::max<int64_t>(given.whole(1, 0), 0);
    meter.text(static_cast<size_t>(width));
    layout.indent = given[1].is_text() ? given.text(1) : std::string(static_cast<size_t>(width), ' ');
    layout.comma = ",";
  }
  if (given.has(2) && !given[2].is_none()) {
    const auto both = elements_of(meter, given[2], "tojson");
    GW_CHECK(both->elements.size() == 2 && both->elements[0].is_text() && both->elements[1].is_text(),
             "tojson: expected two texts as separators, as (\",\", \":\")");
    layout.comma = both->elements[0].text();
    layout.colon = both->elements[1].text();
  }
  std::string out;
  print_json(meter, value, layout, out);
  return Value(std::move(out));
}

Value to_int(Meter& meter, const Value& value, const Arguments& arguments) {
  const Parameters given(arguments, "int", {"default", "base"});
  const Value otherwise = given.has(0) ? given[0] : Value(int64_t{0});
  GW_CHECK(!value.is_undefined(), "int: expected a value, got none: {}", value.reason());
  if (value.is_whole()) return Value(value.whole());
  if (value.is_text())
    if (const auto whole = read_whole(value.text(), given.whole(1, 10))) return Value(*whole);
  const auto real = value.is_text() ? read_real(value.text()) : std::nullopt;
  if (!real && !value.is(Kind::real)) return otherwise;
  const double number = real ? *real : value.real();
  if (!std::isfinite(number)) {
    GW_CHECK(value.is_text() || std::isnan(number), "int: expected a finite number, got {}",
             shown_real(number));
    return otherwise;
  }
  GW_CHECK(std::abs(number) < 0x1p63, "int: expected whole numbers of 64 bits, got {}", number);
  return Value(static_cast<int64_t>(number));
}

Value to_float(Meter&, const Value& value, const Arguments& arguments) {
  const Parameters given(arguments, "float", {"default"});
  GW_CHECK(!value.is_undefined(), "float: expected a value, got none: {}", value.reason());
  if (value.is_number()) return Value(value.real());
  if (value.is_text())
    if (const auto real = read_real(value.text())) return Value(*real);
  return given.has(0) ? given[0] : Value(0.0);
}

Value round(Meter&, const Value& value, const Arguments& arguments) {
  const Parameters given(arguments, "round", {"precision", "method"});
  GW_CHECK(value.is_number(), "round: expected a number, got a {}", type_name(value));
  const std::string method = given.has(1) ? given.text(1) : "common";
  const int64_t precision = given.whole(0, 0);
  if (method == "common") return round_half_even(value, precision);
  GW_CHECK(method == "ceil" || method == "floor",
           "round: expected the method common, ceil or floor, got \"{}\"{}", method,
           near_miss(method, {"common", "ceil", "floor"}));
  const double scale = std::pow(10.0, static_cast<double>(precision)), large = value.real() * scale;
  GW_CHECK(std::isfinite(large), "round: expected a number that its precision leaves finite");
  return Value((method == "ceil" ? std::ceil(large) : std::floor(large)) / scale);
}

Value absolute(Meter&, const Value& value, const Arguments& arguments) {
  Parameters(arguments, "abs", {});
  GW_CHECK(value.is_number(), "abs: expected a number, got a {}", type_name(value));
  if (value.is(Kind::real)) return Value(std::abs(value.real()));
  return value.whole() < 0 ? negated(value) : Value(value.whole());
}

Value otherwise(Meter&, const Value& value, const Arguments& arguments) {
  const Parameters given(arguments, "default", {"default_value", "boolean"});
  const bool missing = value.is_undefined() || (given.truth(1, false) && !truth(value));
  return !missing ? value : given.has(0) ? given[0] : Value("");
}

Value wordcount(Meter& meter, const Value& value, const Arguments& arguments) {
  Parameters(arguments, "wordcount", {});
  meter.step(1 + printed(meter, value).size() / 16);
  const std::string text = printed(meter, value);
  int64_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const std::string_view one =
        std::string_view(text).substr(at, byte_of(std::string_view(text).substr(at, 4), 1));
    at += one.size();
    // Python's \w: letters, digits and _; of what is not ASCII, all but white space is taken for a letter
    const bool letter = one.size() > 1 ? !is_space(code_point(one))
                                       : std::isalnum(static_cast<unsigned char>(one[0])) || one[0] == '_';
    words += letter && !inside ? 1 : 0;
    inside = letter;
  }
  return Value(words);
}

}  // namespace

const std::vector<NamedFunction>& text_filters() {
  static const std::vector<NamedFunction> kFilters = {{"abs", absolute},
                                                      {"capitalize", changed<capitalized>},
                                                      {"d", otherwise},
                                                      {"default", otherwise},
                                                      {"e", changed<escaped>},
                                                      {"escape", changed<escaped>},
                                                      {"float", to_float},
                                                      {"forceescape", changed<escaped>},
                                                      {"format", format},
                                                      {"indent", indent},
                                                      {"int", to_int},
                                                      {"lower", changed<lower>},
                                                      {"replace", replace},
                                                      {"round", round},
                                                      {"safe", changed<same_text>},
                                                      {"string", changed<same_text>},
                                                      {"title", changed<title>},
                                                      {"tojson", to_json},
                                                      {"trim", trim},
                                                      {"upper", changed<upper>},
                                                      {"wordcount", wordcount}};
  return kFilters;
}

}  // namespace gw::inline text::jinja
