#pragma once
// Charts of the report: an HTML figure each, with inline SVG and, folded, the data as a table.
// All are drawn 380 units wide, about a phone's width: in a grid of columns of 330 … 400 pixels their text
// keeps its size.
#include <optional>
#include <string>
#include <vector>

#include "gatewright/report/html.h"

namespace gw::inline report {

inline constexpr int kPaletteSize =
    8;  ///< colours --c0 … --c7 of the style sheet, told apart by colour-blind readers

/// A curve; y that is not finite is a gap.
struct Series {
  std::string name;
  int colour = 0;       ///< taken modulo the palette; also chooses the end marker
  bool dashed = false;  ///< the lesser of two kinds: training beside validation
  std::vector<double> x, y;
  bool points = false;  ///< a marker per value instead of a curve; the pointer reads curves only
};
/// A shaded stretch between two curves: an interval.
struct Band {
  std::string name;
  int colour = 0;
  std::vector<double> x, low, high;
};
struct LineChart {
  std::string title, note, x_label;
  Unit unit = Unit::kPlain;
  std::vector<Series> series;
  bool legend = false;                  ///< below the chart; off where several charts share one
  double reference = 0;                 ///< a dotted horizontal line, 0 for none
  bool whole_x = false;                 ///< x counts things: ticks at whole numbers only
  std::optional<double> chosen_x = {};  ///< a dotted vertical line with the word "chosen"
  std::optional<Band> band = {};        ///< behind the series
  bool log_log = false;  ///< both axes logarithmic if all values are positive: rates are slopes there
};
/// Curves over a common axis. The y axis is logarithmic if all values are positive and span a factor of more
/// than 100, unless they are shares (Unit::kPercent).
std::string line_chart(const LineChart& chart);

/// Entries with the colours and markers of the charts.
struct LegendEntry {
  std::string name;
  int colour = 0;
  bool dashed = false;
  bool points = false;  ///< a marker without a line
  bool area = false;    ///< a shaded stretch
};
std::string legend(const std::vector<LegendEntry>& entries);

/// Counts with the share of each column as the colour.
struct HeatMap {
  std::string title, note;
  std::string row_name, column_name;  ///< "expert", "class"
  std::vector<std::string> rows, columns;
  std::vector<std::vector<double>> values;  ///< [rows][columns]
  bool share_of_column = true;  ///< colour = value / sum of its column; otherwise value / largest value
  Unit unit = Unit::kCount;
  double whole = 0;    ///< above 0: colour = value / whole, so that several maps can be compared
  size_t letters = 1;  ///< values may become this long
};
/// Values are written into cells that are wide enough for all of them.
/// Errors: InternalError if the names do not fit the values.
std::string heat_map(const HeatMap& map);

/// Horizontal bars, each the sum of its parts.
struct BarChart {
  struct Row {
    std::string label;
    std::vector<double> parts;
    bool reference = false;  ///< drawn in grey: what the others are compared with
    double low = 0,
           high = 0;  ///< a line over the end of the bar: range or interval; none where low is not below high
  };
  std::string title, note;
  Unit unit = Unit::kPlain;
  std::vector<std::string> part_names;
  std::vector<Row> rows;
};
std::string bar_chart(const BarChart& chart);

/// A figure around an SVG: caption above, `table` folded below.
std::string figure(const std::string& title, const std::string& note, const std::string& svg,
                   const std::string& below, const Table& table);

/// Axis over [lo, hi]: at most about `ticks` round numbers, and a range that they cover.
struct Axis {
  double lo = 0, hi = 1;
  bool logarithmic = false;
  std::vector<double> ticks;
  /// 0 at lo, 1 at hi.
  double place(double value) const;
};
Axis make_axis(double lo, double hi, int ticks, bool logarithmic = false);

}  // namespace gw::inline report
