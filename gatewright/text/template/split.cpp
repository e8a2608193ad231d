#include "gatewright/text/template/split.h"

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/text/template/characters.h"

namespace gw::inline text::jinja {
namespace {

using Parts = std::vector<std::string_view>;

Parts split_at(Meter& meter, std::string_view text, const std::string& separator, uint64_t most,
               bool from_right) {
  Parts parts;
  while (parts.size() < most) {
    meter.step();
    const size_t at = from_right ? text.rfind(separator) : text.find(separator);
    if (at == std::string_view::npos) break;
    parts.push_back(from_right ? text.substr(at + separator.size()) : text.substr(0, at));
    text = from_right ? text.substr(0, at) : text.substr(at + separator.size());
  }
  parts.push_back(text);
  return parts;
}

Parts split_blank(Meter& meter, std::string_view text, uint64_t most, bool from_right) {
  const Side near = from_right ? Side::right : Side::left;
  Parts parts;
  for (text = stripped(text, nullptr, near); !text.empty(); text = stripped(text, nullptr, near)) {
    meter.step();
    if (parts.size() == most) {  // the rest keeps its other blanks
      parts.push_back(text);
      break;
    }
    size_t at = from_right ? text.size() : 0;  // the end of the word towards which it is walked
    while (from_right ? at > 0 : at < text.size()) {
      size_t start = from_right ? at - 1 : at;
      while (from_right && start > 0 && (text[start] & 0xC0) == 0x80) --start;
      const std::string_view one =
          from_right ? text.substr(start, at - start) : text.substr(at, byte_of(text.substr(at, 4), 1));
      if (is_space(code_point(one))) break;
      at = from_right ? start : at + one.size();
    }
    parts.push_back(from_right ? text.substr(at) : text.substr(0, at));
    text = from_right ? text.substr(0, at) : text.substr(at);
  }
  return parts;
}

}  // namespace

Value split_text(Meter& meter, const std::string& text, const std::string* separator, int64_t most,
                 bool from_right) {
  GW_CHECK(separator == nullptr || !separator->empty(), "split: expected a separator that is not empty");
  meter.search(text.size(), separator ? separator->size() : 0);
  const uint64_t limit = most < 0 ? kTextLimit_bytes : static_cast<uint64_t>(most);
  Parts parts = separator ? split_at(meter, text, *separator, limit, from_right)
                          : split_blank(meter, text, limit, from_right);
  if (from_right) std::reverse(parts.begin(), parts.end());
  meter.step(parts.size());
  Values values;
  for (const std::string_view part : parts) values.emplace_back(std::string(part));
  return make_sequence(meter, std::move(values));
}

std::string replaced(Meter& meter, const std::string& text, const std::string& from, const std::string& to,
                     int64_t count) {
  uint64_t left = count < 0 ? kTextLimit_bytes + 1 : static_cast<uint64_t>(count);
  meter.search(text.size(), from.size());
  std::string out;
  size_t at = 0;
  for (; left > 0; --left) {
    const size_t found = text.find(from, at);
    if (found == std::string::npos) break;
    meter.step();
    out.append(text, at, found - at) += to;
    at = found + from.size();
    meter.grow(out.size(), 0);
    if (!from.empty()) continue;
    if (at >= text.size()) break;  // an empty text is found before every character and at the end
    const size_t next = at + byte_of(std::string_view(text).substr(at, 4), 1);
    out.append(text, at, next - at);
    at = next;
  }
  out.append(text, std::min(at, text.size()));
  meter.text(out.size());
  return out;
}

bool is_in_case(const std::string& text, bool upper_case) {
  return (upper_case ? upper(text) : lower(text)) == text && (upper_case ? lower(text) : upper(text)) != text;
}

}  // namespace gw::inline text::jinja
