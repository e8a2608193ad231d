// Heat maps and bars.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/report/charts.h"

namespace gw::inline report {
namespace {

constexpr double kMatrixWidth = 380, kMatrixTop = 6, kBarPitch = 42,
                 kLetter = 5.7;  // of an 11-unit sans-serif font, measured
constexpr size_t kColumnLetters = 14, kRowLetters = 8;

struct Grid {
  double left, cell_width, cell_height, label_height;
  bool values_fit, turned;
  size_t every_column, every_row;
};

size_t longest(const std::vector<std::string>& names, size_t most) {
  size_t letters = 1;
  for (const std::string& name : names) letters = std::max(letters, std::min(count_letters(name), most));
  return letters;
}

Grid make_grid(const HeatMap& map) {
  Grid grid;
  const double rows = static_cast<double>(map.rows.size()), columns = static_cast<double>(map.columns.size());
  const double letters = static_cast<double>(longest(map.columns, kColumnLetters)),
               slope = 0.72 * kLetter * letters;
  grid.left = 24 + kLetter * static_cast<double>(longest(map.rows, kRowLetters));
  grid.cell_width = (kMatrixWidth - grid.left - 4) / columns;
  grid.turned = kLetter * letters + 4 > grid.cell_width && letters > 3;
  if (grid.turned) {  // the first name reaches to the left of its column
    grid.left = std::max(grid.left, slope - 2 - grid.cell_width / 2);
    grid.cell_width = (kMatrixWidth - grid.left - 4) / columns;
  }
  grid.cell_height = std::clamp(grid.cell_width, rows > 24 ? 8.0 : 18.0, 34.0);
  size_t widest = map.letters;
  for (const auto& row : map.values)
    for (double value : row) widest = std::max(widest, format_value(value, map.unit).size());
  grid.values_fit = kLetter * static_cast<double>(widest) + 3 <= grid.cell_width && grid.cell_height >= 14;
  grid.label_height = grid.turned ? 12 + slope : 16;
  const double label_width = grid.turned ? 17 : kLetter * letters + 4;
  grid.every_column = static_cast<size_t>(std::max(1.0, std::ceil(label_width / grid.cell_width)));
  grid.every_row = grid.cell_height < 12 ? 2 : 1;
  return grid;
}

/// The colour of each cell: 0 … 1.
std::vector<std::vector<double>> shades(const HeatMap& map) {
  auto result = map.values;
  double largest = 0;
  for (const auto& row : map.values)
    for (double value : row) largest = std::max(largest, value);
  for (size_t c = 0; c < map.columns.size(); ++c) {
    double sum = 0;
    for (const auto& row : map.values) sum += row[c];
    const double whole = map.whole > 0 ? map.whole : map.share_of_column ? sum : largest;
    for (auto& row : result) row[c] = whole > 0 && std::isfinite(row[c]) ? std::min(row[c] / whole, 1.0) : 0;
  }
  return result;
}

std::string column_label(const HeatMap& map, const Grid& grid, size_t c, double y) {
  const double x = grid.left + grid.cell_width * (static_cast<double>(c) + 0.5);
  const std::string name = escape_html(shorten(map.columns[c], kColumnLetters));
  if (!grid.turned)
    return fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>", x,
                       y + 13, name);
  return fmt::format(
      "<text class=\"tick\" transform=\"translate({:.1f} {:.1f}) rotate(-45)\" text-anchor=\"end\">{}</text>",
      x + 4, y + 10, name);
}

std::string cells(const HeatMap& map, const Grid& grid) {
  std::string svg;
  const auto shade = shades(map);
  for (size_t r = 0; r < map.rows.size(); ++r) {
    const double y = kMatrixTop + grid.cell_height * static_cast<double>(r);
    if (r % grid.every_row == 0)
      svg += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>",
                         grid.left - 5, y + grid.cell_height / 2 + 4,
                         escape_html(shorten(map.rows[r], kRowLetters)));
    for (size_t c = 0; c < map.columns.size(); ++c) {
      const double x = grid.left + grid.cell_width * static_cast<double>(c);
      const std::string value = format_value(map.values[r][c], map.unit);
      const double gap = grid.cell_width > 8 ? 1 : 0;  // narrow cells would be mostly gap
      svg += fmt::format(
          "<g><title>{}, {}: {}</title><rect class=\"cell\" x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" "
          "height=\"{:.2f}\" "
          "fill-opacity=\"{:.3f}\"/>",
          escape_html(map.rows[r]), escape_html(map.columns[c]), value, x + gap / 2, y + 0.5,
          grid.cell_width - gap, grid.cell_height - 1, 0.05 + 0.95 * shade[r][c]);
      if (grid.values_fit)
        svg += fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>",
                           shade[r][c] > 0.75   ? "hi"
                           : shade[r][c] > 0.58 ? "mid"
                                                : "lo",
                           x + grid.cell_width / 2, y + grid.cell_height / 2 + 3.6, value);
      svg += "</g>";
    }
  }
  return svg;
}

Table heat_table(const HeatMap& map) {
  Table table;
  table.caption = map.title;
  table.header = {map.row_name};
  for (const std::string& name : map.columns) table.header.push_back(name);
  for (size_t r = 0; r < map.rows.size(); ++r) {
    table.rows.push_back({escape_html(map.rows[r])});
    for (double value : map.values[r]) table.rows.back().push_back(format_value(value, map.unit));
  }
  return table;
}

double total(const BarChart::Row& row) {
  double sum = 0;
  for (double part : row.parts) sum += std::isfinite(part) && part > 0 ? part : 0;
  return sum;
}

std::string bar(const BarChart& chart, const BarChart::Row& row, double y, double scale) {
  std::string svg = fmt::format("<text class=\"label\" x=\"0\" y=\"{:.1f}\">{}</text>", y + 10,
                                escape_html(shorten(row.label, 56)));
  double x = 0;
  for (size_t i = 0; i < row.parts.size(); ++i) {
    if (!(row.parts[i] > 0) || !std::isfinite(row.parts[i])) continue;
    const double width = row.parts[i] * scale;
    svg += fmt::format("<rect class=\"{}\" x=\"{:.2f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"14\"/>",
                       row.reference ? "part dense" : fmt::format("part f{}", i % kPaletteSize), x, y + 15,
                       std::max(width, 0.8));
    x += width;
  }
  if (row.low < row.high) {
    svg += fmt::format("<line class=\"spread\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>",
                       row.low * scale, row.high * scale, y + 22, y + 22);
    x = std::max(x, row.high * scale);
  }
  return svg + fmt::format("<text class=\"value\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", x + 5, y + 26,
                           format_value(total(row), chart.unit));
}

}  // namespace

std::string heat_map(const HeatMap& map) {
  bool fits = map.values.size() == map.rows.size() && !map.rows.empty() && !map.columns.empty();
  for (const auto& row : map.values) fits = fits && row.size() == map.columns.size();
  GW_ENSURE(fits, "heat map: {} × {} names do not fit the values", map.rows.size(), map.columns.size());
  const Grid grid = make_grid(map);
  const double bottom = kMatrixTop + grid.cell_height * static_cast<double>(map.rows.size()),
               height = bottom + grid.label_height + 18;
  std::string svg =
      fmt::format("<svg viewBox=\"0 0 {} {:.0f}\" role=\"img\" aria-label=\"{}: {} by {}, {} × {}\">",
                  kMatrixWidth, height, escape_html(map.title), escape_html(map.row_name),
                  escape_html(map.column_name), map.rows.size(), map.columns.size());
  svg += cells(map, grid);
  for (size_t c = 0; c < map.columns.size(); c += grid.every_column)
    svg += column_label(map, grid, c, bottom);
  svg += fmt::format("<text class=\"axis\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>",
                     grid.left + (kMatrixWidth - grid.left) / 2, height - 4, escape_html(map.column_name));
  svg += fmt::format(
      "<text class=\"axis\" transform=\"translate(10 {:.1f}) rotate(-90)\" "
      "text-anchor=\"middle\">{}</text></svg>",
      (kMatrixTop + bottom) / 2, escape_html(map.row_name));
  return figure(map.title, map.note, svg, "", heat_table(map));
}

std::string bar_chart(const BarChart& chart) {
  double largest = 0;
  for (const auto& row : chart.rows)
    largest = std::max({largest, total(row), row.low < row.high ? row.high : 0.0});
  const double scale =
      largest > 0 ? (kMatrixWidth - 70) / largest : 0;  // 70: room for the value behind the longest bar
  std::string description = chart.title + ".";
  for (const auto& row : chart.rows)
    description += " " + row.label + ": " + format_value(total(row), chart.unit) + ".";
  std::string svg = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", kMatrixWidth,
                                kBarPitch * static_cast<double>(chart.rows.size()), escape_html(description));
  Table table;
  table.caption = chart.title;
  table.header = {"what"};
  for (const std::string& name : chart.part_names) table.header.push_back(name);
  for (size_t i = 0; i < chart.rows.size(); ++i) {
    svg += bar(chart, chart.rows[i], kBarPitch * static_cast<double>(i), scale);
    table.rows.push_back({escape_html(chart.rows[i].label)});
    for (double part : chart.rows[i].parts) table.rows.back().push_back(format_value(part, chart.unit));
    table.rows.back().resize(table.header.size());
  }
  std::string key;
  if (chart.part_names.size() > 1) {
    key = "<ul class=\"legend\">";
    for (size_t i = 0; i < chart.part_names.size(); ++i)
      key += fmt::format(
          "<li><svg viewBox=\"0 0 12 10\" width=\"12\" height=\"10\" aria-hidden=\"true\"><rect class=\"part "
          "f{}\" width=\"12\" "
          "height=\"10\"/></svg>{}</li>",
          i % kPaletteSize, escape_html(chart.part_names[i]));
    key += "</ul>";
  }
  return figure(chart.title, chart.note, svg + "</svg>", key, table);
}

}  // namespace gw::inline report
