#include "gatewright/data/table_cells.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/data/number_like.h"

namespace gw::inline data {

std::string cell_place(const CsvTable& table, int64_t row, int64_t column) {
  return fmt::format("csv \"{}\", line {}, column \"{}\"", table.name(), table.line(row),
                     shown(table.header()[static_cast<size_t>(column)]));
}

std::string shown_cell(std::string_view cell) { return shown(cell, 40); }

std::string level_of(const CsvTable& table, int64_t row, int64_t column) {
  constexpr size_t kDigits = 15;
  const auto cell = table.cell(row, column);
  const auto digits = cell.substr(std::min(cell.find_first_not_of("+-"), cell.size()));
  const bool identifier =
      digits.size() > 1 && digits[0] == '0' && std::isdigit(static_cast<unsigned char>(digits[1]));
  double value = 0;
  if (identifier || digits.size() > kDigits || !table.number(row, column, value)) return std::string(cell);
  return fmt::format("{}", value == 0 ? 0.0 : value);
}

bool looks_missing(std::string_view cell) {
  static const std::set<std::string_view> kMarks{"?",    "-",    "--",   "None",    "none", "NONE",
                                                 "#N/A", "N.A.", "n.a.", "missing", "NULL", "*"};
  return kMarks.contains(cell);
}

void refuse_decimal(const CsvTable& table, int64_t row, int64_t column) {
  const bool comma = table.decimal() == '.';
  fail(
      "{}: expected a number, got \"{}\": a {} stands where a {} is expected; if it is the decimal sign, "
      "read the table with "
      "decimal = \"{}\"{}",
      cell_place(table, row, column), shown_cell(table.cell(row, column)), comma ? "comma" : "point",
      comma ? "point" : "comma", comma ? "," : ".", comma ? "; if it separates thousands, leave it out" : "");
}

void refuse_number_like(const CsvTable& table, int64_t row, int64_t column) {
  fail(
      "{}: expected a number, got \"{}\": every value of the column looks like {}; write plain numbers, or "
      "name the column among the "
      "factors",
      cell_place(table, row, column), shown_cell(table.cell(row, column)),
      describe_number_like(table.cell(row, column)));
}

}  // namespace gw::inline data
