#include "gatewright/report/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace gw::inline report {
namespace {

constexpr double kWidth = 380, kHeight = 236, kLeft = 46, kTop = 10, kRight = 12, kBottom = 36;
constexpr double kPlotWidth = kWidth - kLeft - kRight, kPlotHeight = kHeight - kTop - kBottom;
constexpr size_t kTableRows = 40;

struct PlotFrame {
  Axis x, y;
  double px(double value) const { return kLeft + kPlotWidth * x.place(value); }
  double py(double value) const { return kTop + kPlotHeight * (1 - y.place(value)); }
};

PlotFrame make_frame(const LineChart& chart) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  double x_lo = inf, x_hi = -inf, y_lo = inf, y_hi = -inf;
  const auto cover = [&](const std::vector<double>& x, const std::vector<double>& y) {
    for (size_t i = 0; i < x.size(); ++i) {
      if (!std::isfinite(y[i])) continue;
      x_lo = std::min(x_lo, x[i]), x_hi = std::max(x_hi, x[i]);
      y_lo = std::min(y_lo, y[i]), y_hi = std::max(y_hi, y[i]);
    }
  };
  for (const Series& series : chart.series) cover(series.x, series.y);
  if (chart.band) cover(chart.band->x, chart.band->low), cover(chart.band->x, chart.band->high);
  if (chart.reference > 0 && y_lo <= y_hi) {
    y_lo = std::min(y_lo, chart.reference);
    y_hi = std::max(y_hi, chart.reference);
  }
  const bool log_log = chart.log_log && y_lo > 0;
  const bool wide =
      chart.unit != Unit::kPercent && y_hi > 100 * y_lo;  // shares stay linear: nobody reads 10^-36 of a row
  PlotFrame frame{make_axis(x_lo, x_hi, 6, log_log && x_lo > 0),
                  make_axis(y_lo, y_hi, 5, y_lo > 0 && (log_log || wide))};
  if (x_lo < x_hi) {  // curves start at the axis: only the y range is rounded
    frame.x.lo = x_lo;
    frame.x.hi = x_hi;
    std::erase_if(frame.x.ticks, [&](double tick) { return tick < x_lo || tick > x_hi; });
  }
  if (chart.whole_x)
    std::erase_if(frame.x.ticks, [](double tick) { return std::abs(tick - std::round(tick)) > 1e-9; });
  return frame;
}

std::string tick_text(double value, const Axis& axis, Unit unit) {
  if (axis.logarithmic) return fmt::format("{:g}", value);
  const double step =
      (axis.ticks.size() > 1 ? axis.ticks[1] - axis.ticks[0] : 1) * (unit == Unit::kPercent ? 100 : 1);
  const int digits = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 6);
  const double shown = unit == Unit::kPercent ? 100 * value : value;
  if (std::abs(axis.hi) >= 1e5 && unit != Unit::kPercent) return format_value(value, Unit::kMacs);  // 200 k
  return fmt::format("{:.{}f}{}", shown == 0 ? 0.0 : shown, digits, unit == Unit::kPercent ? " %" : "");
}

std::string axes(const LineChart& chart, const PlotFrame& frame) {
  std::string svg;
  for (double tick : frame.y.ticks) {
    const double y = frame.py(tick);
    svg += fmt::format("<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", kLeft,
                       kWidth - kRight, y, y);
    svg += fmt::format("<text class=\"tick\" x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>", kLeft - 6,
                       y + 3.5, tick_text(tick, frame.y, chart.unit));
  }
  for (double tick : frame.x.ticks)
    svg += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                       std::min(frame.px(tick), kWidth - 10), kTop + kPlotHeight + 15,
                       tick_text(tick, frame.x, Unit::kPlain));
  svg += fmt::format("<text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                     kLeft + kPlotWidth / 2, kHeight - 4, escape_html(chart.x_label));
  if (chart.reference > 0) {
    const double y = frame.py(chart.reference);
    svg += fmt::format("<line class=\"ref\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", kLeft,
                       kWidth - kRight, y, y);
  }
  if (chart.chosen_x) {
    const double x = frame.px(*chart.chosen_x);
    const bool right = x > kLeft + kPlotWidth / 2;
    svg += fmt::format("<line class=\"ref\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\"/>", x, kTop,
                       kTop + kPlotHeight);
    svg += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"{}\">chosen</text>",
                       x + (right ? -5 : 5), kTop + 10, right ? "end" : "start");
  }
  return svg;
}

/// A mark of its own for every colour, so that colour is never the only difference.
std::string marker(int colour, double x, double y) {
  const int shape = colour % 4;
  if (shape == 0) return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.2\"/>", x, y);
  if (shape == 1)
    return fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"5.6\" height=\"5.6\"/>", x - 2.8, y - 2.8);
  if (shape == 2) return fmt::format("<path d=\"M{:.1f} {:.1f}l3.8 6.4h-7.6z\"/>", x, y - 3.9);
  return fmt::format("<path d=\"M{:.1f} {:.1f}l3.8 3.8l-3.8 3.8l-3.8 -3.8z\"/>", x, y - 3.8);
}

/// From left to right along the upper edge, back along the lower.
std::string shaded(const Band& band, const PlotFrame& frame) {
  std::string points;
  const auto add = [&](size_t i, double y) {
    if (std::isfinite(y)) points += fmt::format("{:.1f},{:.1f} ", frame.px(band.x[i]), frame.py(y));
  };
  for (size_t i = 0; i < band.x.size(); ++i) add(i, band.high[i]);
  for (size_t i = band.x.size(); i-- > 0;) add(i, band.low[i]);
  return fmt::format("<polygon class=\"band f{}\" points=\"{}\"/>", band.colour % kPaletteSize, points);
}

std::string scatter(const Series& series, const PlotFrame& frame) {
  std::string svg = fmt::format("<g class=\"s{}\" opacity=\"0.5\">", series.colour % kPaletteSize);
  for (size_t i = 0; i < series.x.size(); ++i) {
    if (std::isfinite(series.y[i]))
      svg += marker(series.colour, frame.px(series.x[i]), frame.py(series.y[i]));
  }
  return svg + "</g>";
}

std::string curve(const Series& series, const PlotFrame& frame) {
  if (series.points) return scatter(series, frame);
  std::string svg = fmt::format("<g class=\"s{}{}\" data-n=\"{}\">", series.colour % kPaletteSize,
                                series.dashed ? " dash" : "", escape_html(series.name));
  std::string points;
  size_t count = 0, last = series.x.size();
  const auto flush = [&] {
    if (count > 1) svg += "<polyline points=\"" + points + "\"/>";
    points.clear();
    count = 0;
  };
  for (size_t i = 0; i < series.x.size(); ++i) {
    if (!std::isfinite(series.y[i])) {
      flush();
      continue;
    }
    points +=
        fmt::format("{}{:.1f},{:.1f}", count++ ? " " : "", frame.px(series.x[i]), frame.py(series.y[i]));
    last = i;
  }
  flush();
  if (last < series.x.size())
    svg += marker(series.colour, frame.px(series.x[last]), frame.py(series.y[last]));
  return svg + "</g>";
}

/// The series as the table and its heading know them: a band is two of them.
std::vector<Series> tabled(const LineChart& chart) {
  std::vector<Series> all = chart.series;
  if (chart.band) {
    all.push_back({chart.band->name + ", low", 0, false, chart.band->x, chart.band->low});
    all.push_back({chart.band->name + ", high", 0, false, chart.band->x, chart.band->high});
  }
  return all;
}

Table data_table(const LineChart& chart) {
  const auto all = tabled(chart);
  std::map<double, std::vector<double>> lines;
  for (size_t s = 0; s < all.size(); ++s) {
    for (size_t i = 0; i < all[s].x.size(); ++i) {
      auto& line = lines[all[s].x[i]];
      line.resize(all.size(), std::numeric_limits<double>::quiet_NaN());
      line[s] = all[s].y[i];
    }
  }
  Table table;
  table.header = {chart.x_label};
  for (const Series& series : all) table.header.push_back(series.name);
  const size_t every = (lines.size() + kTableRows - 1) / kTableRows;
  size_t i = 0;
  for (const auto& [x, values] : lines) {
    const bool shown = i % std::max<size_t>(every, 1) == 0 || i + 1 == lines.size();
    ++i;
    if (!shown) continue;
    table.rows.push_back({format_value(x, Unit::kPlain)});
    for (double value : values) table.rows.back().push_back(format_value(value, chart.unit));
  }
  table.caption = chart.title + (every > 1 ? fmt::format(" (every {}. point)", every) : "");
  return table;
}

std::string describe(const LineChart& chart) {
  std::string text = chart.title + " over " + chart.x_label + ".";
  for (size_t i = 0; i < chart.series.size() && i < 12; ++i) {
    const auto& y = chart.series[i].y;
    if (chart.series[i].points) continue;
    const auto last = std::find_if(y.rbegin(), y.rend(), [](double value) { return std::isfinite(value); });
    if (last != y.rend())
      text += " " + chart.series[i].name + " ends at " + format_value(*last, chart.unit) + ".";
  }
  return text;
}

}  // namespace

double Axis::place(double value) const {
  if (logarithmic) return (std::log10(value) - std::log10(lo)) / (std::log10(hi) - std::log10(lo));
  return (value - lo) / (hi - lo);
}

Axis make_axis(double lo, double hi, int ticks, bool logarithmic) {
  if (!(lo <= hi)) return make_axis(0, 1, ticks);
  Axis axis;
  axis.logarithmic = logarithmic;
  if (logarithmic) {
    const int first = static_cast<int>(std::floor(std::log10(lo))),
              last = static_cast<int>(std::ceil(std::log10(hi)));
    const int every = std::max(1, (last - first + ticks) / (ticks + 1));
    axis.lo = std::pow(10, first);
    axis.hi = std::pow(10, last);
    for (int i = first; i <= last; i += every) axis.ticks.push_back(std::pow(10, i));
    return axis;
  }
  if (hi - lo < 1e-9 * std::max(std::abs(lo), std::abs(hi)) || lo == hi) {
    const double margin = lo == 0 ? 1 : 0.1 * std::abs(lo);
    lo -= margin;
    hi += margin;
  }
  const double rough = (hi - lo) / ticks, power = std::pow(10, std::floor(std::log10(rough))),
               digit = rough / power;
  const double step = power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
  const double first = std::floor(lo / step + 1e-9), last = std::ceil(hi / step - 1e-9);
  for (double i = first; i <= last; ++i) axis.ticks.push_back(i * step);
  axis.lo = first * step;
  axis.hi = last * step;
  return axis;
}

std::string figure(const std::string& title, const std::string& note, const std::string& svg,
                   const std::string& below, const Table& table) {
  return fmt::format(
      "<figure "
      "class=\"chart\"><figcaption><strong>{}</strong>{}</figcaption>{}{}<details><summary>Data</summary>{}</"
      "details></figure>\n",
      escape_html(title), note.empty() ? "" : " <span>" + escape_html(note) + "</span>", svg, below,
      render_table(table));
}

std::string legend(const std::vector<LegendEntry>& entries) {
  std::string html = "<ul class=\"legend\">";
  for (const LegendEntry& entry : entries) {
    std::string sign = entry.points ? "" : "<polyline points=\"1,5 25,5\"/>";
    if (!entry.area)
      sign += marker(entry.colour, entry.points ? 13 : 25 - 4,
                     5);  // a curve ends in its marker, points stand alone
    if (entry.area)
      sign =
          fmt::format("<rect class=\"band f{}\" width=\"26\" height=\"10\"/>", entry.colour % kPaletteSize);
    html += fmt::format(
        "<li><svg viewBox=\"0 0 26 10\" width=\"26\" height=\"10\" aria-hidden=\"true\"><g "
        "class=\"s{}{}\"{}>{}</g></svg>{}</li>",
        entry.colour % kPaletteSize, entry.dashed ? " dash" : "", entry.points ? " opacity=\"0.5\"" : "",
        sign, escape_html(entry.name));
  }
  return html + "</ul>";
}

std::string line_chart(const LineChart& chart) {
  const PlotFrame frame = make_frame(chart);
  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\" data-plot=\"{} {} {} {} {} {} {}\" "
      "data-unit=\"{}\">",
      kWidth, kHeight, escape_html(describe(chart)), kTop, kPlotHeight, kLeft, kPlotWidth, frame.y.lo,
      frame.y.hi, frame.y.logarithmic ? 1 : 0, chart.unit == Unit::kPercent ? "%" : "");
  if (chart.band) svg += shaded(*chart.band, frame);
  svg += axes(chart, frame);
  for (const Series& series : chart.series) svg += curve(series, frame);
  svg += "</svg>";
  std::vector<LegendEntry> entries;
  for (const Series& series : chart.series)
    entries.push_back({series.name, series.colour, series.dashed, series.points});
  if (chart.band) entries.push_back({chart.band->name, chart.band->colour, false, false, true});
  const std::string note =
      chart.note + (frame.y.logarithmic ? std::string(chart.note.empty() ? "" : ", ") + "logarithmic" : "");
  return figure(chart.title, note, svg, chart.legend ? legend(entries) : "", data_table(chart));
}

}  // namespace gw::inline report
