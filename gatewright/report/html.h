#pragma once
// Text of the report: escaping and the writing of numbers.
#include <string>
#include <string_view>
#include <vector>

namespace gw::inline report {

/// Text made safe for HTML content and for quoted attributes: & < > " ' become entities; control characters,
/// and bytes that are not UTF-8, become U+FFFD; a newline and a tab stay.
std::string escape_html(std::string_view text);
/// At most `letters` code points, the last of them "…" if cut.
std::string shorten(std::string_view text, size_t letters);
size_t count_letters(std::string_view text);

/// Kinds of numbers, and how the report writes them.
enum class Unit { kPlain, kPercent, kCount, kMacs, kMilliseconds };
/// "91.3 %", "12.4 M", "0.31", "–" for what is not finite.
std::string format_value(double value, Unit unit);
/// The unit that goes with a metric's name ("clean_accuracy", "flip_rate": per cent; "router_macs":
/// multiply-adds; …).
Unit unit_of_metric(const std::string& name);
/// A metric's heading in words: "robust.pgd" → "robust, pgd", "macs_ratio" → "multiply-adds / dense",
/// "time_ratio.128" → "time / dense, batch 128 (above 1: slower)".
std::string metric_heading(const std::string& name);
/// Order of metrics in tables: clean accuracy, robust accuracies, changed routes, the rest.
int metric_rank(const std::string& name);

/// A table inside a scrolling box. The first column holds row headings; the others are numbers
/// (right-aligned) unless listed in `text_columns`. Cells are HTML already; caption and header are text.
struct Table {
  std::string caption;
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
  std::vector<size_t> text_columns;
  std::string css_class;
  bool stacked = false;  ///< cells repeat their heading, for pages narrower than the table
  std::string csv;       ///< the numbers at full precision, offered below as a file; "": none
};
std::string render_table(const Table& table);

}  // namespace gw::inline report
