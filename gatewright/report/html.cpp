#include "gatewright/report/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "gatewright/base/base64.h"
#include "gatewright/base/shown.h"

namespace gw::inline report {
namespace {

constexpr size_t kWideTable = 3;  // columns: more may not fit a phone beside each other

/// Bytes of the well-formed code point at the start of `text`, 0 if there is none (overlong forms and
/// surrogates count as none).
size_t code_point_size(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto next = [&](size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const unsigned a = byte(0), b = byte(1);
  if (a < 0x80) return 1;
  if (a >= 0xC2 && a < 0xE0 && next(1)) return 2;
  if (a >= 0xE0 && a < 0xF0 && next(1) && next(2) && !(a == 0xE0 && b < 0xA0) && !(a == 0xED && b >= 0xA0))
    return 3;
  if (a >= 0xF0 && a < 0xF5 && next(1) && next(2) && next(3) && !(a == 0xF0 && b < 0x90) &&
      !(a == 0xF4 && b >= 0x90))
    return 4;
  return 0;
}

std::string escape_ascii(char c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    default:
      return (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7F
                 ? "\uFFFD"
                 : std::string(1, c);
  }
}

/// Three significant digits without an exponent where that is short.
std::string significant(double value) {
  const double size = std::abs(value);
  if (size == 0) return "0";
  if (size >= 1e6 || size < 1e-4) return fmt::format("{:.2e}", value);
  const int digits = size >= 100    ? 0
                     : size >= 10   ? 1
                     : size >= 1    ? 2
                     : size >= 0.1  ? 3
                     : size >= 0.01 ? 4
                                    : 5;
  return fmt::format("{:.{}f}", value, digits);
}

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  while (!text.empty()) {
    const size_t size = code_point_size(text);
    if (size == 1) {
      safe += escape_ascii(text[0]);
    } else if (size == 0 || (size == 2 && text[0] == '\xC2' && static_cast<unsigned char>(text[1]) < 0xA0)) {
      safe += "\uFFFD";  // not UTF-8, or a C1 control character
    } else {
      // Signs that turn the direction of writing, and line separators, would reorder what stands around them.
      const auto sign = text.substr(0, size);
      safe += shown(sign) == sign ? std::string(sign) : "\uFFFD";
    }
    text.remove_prefix(std::max<size_t>(size, 1));
  }
  return safe;
}

size_t count_letters(std::string_view text) {
  size_t letters = 0;
  for (; !text.empty(); ++letters) text.remove_prefix(std::max<size_t>(code_point_size(text), 1));
  return letters;
}

std::string shorten(std::string_view text, size_t letters) {
  if (count_letters(text) <= letters) return std::string(text);
  std::string kept;
  for (size_t i = 0; i + 1 < letters; ++i) {
    const size_t size = std::max<size_t>(code_point_size(text), 1);
    kept += text.substr(0, size);
    text.remove_prefix(size);
  }
  return kept + "…";
}

std::string format_value(double value, Unit unit) {
  if (!std::isfinite(value)) return "–";
  switch (unit) {
    case Unit::kPercent:
      return fmt::format("{:.1f} %", 100 * value);
    case Unit::kCount:
      return value < 1e5 ? fmt::format("{:.0f}", value) : fmt::format("{:.0f}k", value / 1000);
    case Unit::kMilliseconds:
      return significant(value) + " ms";
    case Unit::kMacs:
      if (value >= 1e9) return significant(value / 1e9) + " G";
      if (value >= 1e6) return significant(value / 1e6) + " M";
      return value >= 1e3 ? significant(value / 1e3) + " k" : fmt::format("{:.0f}", value);
    case Unit::kPlain:
      break;
  }
  return value == std::round(value) && std::abs(value) < 1e6 ? fmt::format("{:.0f}", value)
                                                             : significant(value);
}

Unit unit_of_metric(const std::string& name) {
  if (name.find("accuracy") != std::string::npos || name.rfind("robust.", 0) == 0 ||
      ends_with(name, "_rate") || ends_with(name, "_share")) {
    return name.find("learning") == std::string::npos ? Unit::kPercent : Unit::kPlain;
  }
  if (ends_with(name, "macs")) return Unit::kMacs;
  if (ends_with(name, "_ms") || name.find("ms_per_") != std::string::npos) return Unit::kMilliseconds;
  return Unit::kPlain;
}

std::string metric_heading(const std::string& name) {
  static const std::map<std::string, const char*> whole = {
      {"robust_accuracy", "robust, worst case"},
      {"flip_rate", "routes changed by the attack"},
      {"route_loss_rate", "images lost by changed routes"},
      {"load_entropy", "entropy of the load (1: even)"},
      {"macs", "multiply-adds"},
      {"total_macs", "multiply-adds"},
      {"macs_ratio", "multiply-adds / dense"},
      {"pathway_ratio", "pathway multiply-adds / dense"},
      {"router_ratio", "router / pathway multiply-adds"}};
  static const std::pair<const char*, const char*> parts[] = {
      {"robust_accuracy/", "robust, {}"},
      {"robust.", "robust, {}"},
      {"dense_ms_per_image.", "dense network, time per image, batch {}"},
      {"ms_per_image.", "time per image, batch {}"},
      {"ms_per_example.", "time per example, batch {}"},
      {"time_ratio.", "time / dense, batch {} (above 1: slower)"}};
  if (const auto found = whole.find(name); found != whole.end()) return found->second;
  for (const auto& [start, format] : parts)
    if (name.rfind(start, 0) == 0)
      return fmt::format(fmt::runtime(format), words(name.substr(std::string_view(start).size())));
  return words(name);
}

int metric_rank(const std::string& name) {
  return name == "clean_accuracy" ? 0 : name.rfind("robust", 0) == 0 ? 1 : name == "flip_rate" ? 2 : 3;
}

std::string render_table(const Table& table) {
  const auto is_text = [&](size_t column) {
    return column == 0 || std::find(table.text_columns.begin(), table.text_columns.end(), column) !=
                              table.text_columns.end();
  };
  // On a phone each row becomes a block of lines, "heading: value".
  const auto narrow = [&](size_t column) {
    return table.stacked && column < table.header.size()
               ? fmt::format(" data-heading=\"{}\"", escape_html(table.header[column]))
               : "";
  };
  const std::string caption = escape_html(table.caption);
  std::string html = fmt::format(
      "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{}\"><table "
      "class=\"{}\"><caption>{}</caption><thead><tr>",
      caption, table.css_class, caption);
  for (size_t i = 0; i < table.header.size(); ++i)
    html += fmt::format("<th scope=\"col\"{}>{}</th>", is_text(i) ? "" : " class=\"n\"",
                        escape_html(table.header[i]));
  html += "</tr></thead><tbody>";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (size_t i = 0; i < row.size(); ++i) {
      if (i == 0) html += "<th scope=\"row\">" + row[0] + "</th>";
      if (i > 0) html += fmt::format("<td{}{}>{}</td>", is_text(i) ? "" : " class=\"n\"", narrow(i), row[i]);
    }
    html += "</tr>";
  }
  html += "</tbody></table></div>\n";
  std::string below;  // the hint is shown by the page's script where the table is cut
  if (table.header.size() > kWideTable)
    below = "<span class=\"sideways\" hidden>Scroll sideways for all columns.</span> ";
  if (!table.csv.empty())
    below += "<a class=\"download\" download=\"results.csv\" href=\"data:text/csv;charset=utf-8;base64," +
             base64_encode(table.csv) + "\">Every measure as CSV</a>";
  return below.empty() ? html : html + "<p class=\"scrolls\">" + below + "</p>\n";
}

}  // namespace gw::inline report
