#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/text/template/characters.h"
#include "gatewright/text/template/printing.h"

namespace gw::inline text::jinja {
namespace {

void escape_ascii(std::string_view text, std::string& out) {
  const char32_t point = code_point(text);
  if (point < 0x10000) {
    out += fmt::format("\\u{:04x}", static_cast<uint32_t>(point));
    return;
  }
  const auto above = static_cast<uint32_t>(point) - 0x10000;
  out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (above >> 10), 0xDC00 + (above & 0x3FF));
}

void print_text(Meter& meter, const std::string& text, bool ascii, std::string& out) {
  meter.grow(out.size(), text.size());
  meter.step(text.size() / 16);
  static constexpr char kEscaped[] = "\"\\\n\r\t\f\b", kLetters[] = "\"\\nrtfb";
  out += '"';
  for (size_t at = 0; at < text.size();) {
    const std::string_view one =
        std::string_view(text).substr(at, byte_of(std::string_view(text).substr(at, 4), 1));
    at += one.size();
    const size_t escaped = one[0] == 0 ? std::string::npos : std::string_view(kEscaped).find(one[0]);
    if (escaped != std::string::npos)
      (out += '\\') += kLetters[escaped];
    else if (static_cast<unsigned char>(one[0]) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(one[0]));
    else if (ascii && (one.size() > 1 || one[0] == 0x7F))
      one.size() > 1 ? escape_ascii(one, out) : out.push_back(one[0]);
    else
      out += one;
  }
  out += '"';
}

std::string number(const Value& value) {
  if (value.is(Value::Kind::integer)) return std::to_string(value.whole());
  const double real = value.real();
  if (std::isnan(real)) return "NaN";
  if (std::isinf(real)) return real < 0 ? "-Infinity" : "Infinity";
  return shown_real(real);
}

/// json.dumps makes texts of keys that are numbers, truth values or None.
std::string key_text(const Value& key) {
  if (key.is_text()) return key.text();
  if (key.is_none()) return "null";
  if (key.is(Value::Kind::boolean)) return key.boolean() ? "true" : "false";
  GW_CHECK(key.is_number(), "tojson: expected texts or numbers as keys, got a {}", type_name(key));
  return number(key);
}

class Printer {
 public:
  Printer(Meter& meter, const JsonLayout& layout, std::string& out)
      : meter_(meter), layout_(layout), out_(out) {}

  void value(const Value& value, size_t depth) {
    const Meter::Level level(meter_);
    meter_.step();
    meter_.grow(out_.size(), layout_.comma.size() + layout_.colon.size());
    if (value.is_none())
      out_ += "null";
    else if (value.is(Value::Kind::boolean))
      out_ += value.boolean() ? "true" : "false";
    else if (value.is_number())
      out_ += number(value);
    else if (value.is_text())
      print_text(meter_, value.text(), layout_.ascii, out_);
    else if (value.is(Value::Kind::dict))
      object(value.dict(), depth);
    else if (value.is(Value::Kind::sequence) && value.sequence().form <= Sequence::Form::tuple)
      list(value.sequence().elements, depth);
    else
      fail("tojson: expected a value that JSON has a form for, got {} of type {}", brief(meter_, value),
           type_name(value));
  }

 private:
  void line(size_t depth) {
    if (!layout_.lines) return;
    meter_.grow(out_.size(), depth * layout_.indent.size());
    out_ += '\n';
    for (size_t i = 0; i < depth; ++i) out_ += layout_.indent;
  }

  void list(const Values& elements, size_t depth) {
    out_ += '[';
    for (size_t i = 0; i < elements.size(); ++i) {
      if (i > 0) out_ += layout_.comma;
      line(depth + 1);
      value(elements[i], depth + 1);
    }
    if (!elements.empty()) line(depth);
    out_ += ']';
  }

  void object(const Dict& dict, size_t depth) {
    std::vector<std::pair<std::string, const Value*>> entries;
    for (const auto& [key, value] : dict.entries) entries.emplace_back(key_text(key), &value);
    if (layout_.sorted)
      std::stable_sort(entries.begin(), entries.end(),
                       [](const auto& a, const auto& b) { return a.first < b.first; });
    out_ += '{';
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_ += layout_.comma;
      line(depth + 1);
      print_text(meter_, entries[i].first, layout_.ascii, out_);
      out_ += layout_.colon;
      value(*entries[i].second, depth + 1);
    }
    if (!entries.empty()) line(depth);
    out_ += '}';
  }

  Meter& meter_;
  const JsonLayout& layout_;
  std::string& out_;
};

}  // namespace

void print_json(Meter& meter, const Value& value, const JsonLayout& layout, std::string& out) {
  Printer(meter, layout, out).value(value, 0);
  meter.text(out.size());
}

}  // namespace gw::inline text::jinja
