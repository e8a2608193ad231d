#pragma once
// Cells of a table as levels and numbers, and what is said about those that are neither.
#include <string>
#include <string_view>

#include "gatewright/data/csv.h"

namespace gw::inline data {

/// "csv "a.csv", line 7, column "age"".
std::string cell_place(const CsvTable& table, int64_t row, int64_t column);
/// A cell in a message, cut where it is long.
std::string shown_cell(std::string_view cell);

/// The level that a cell stands for: numbers that are equal are one level however they are written (1, 1.0,
/// 1e0). Digits after a leading 0 (01234) and more than doubles hold are identifiers, which stay as they are.
std::string level_of(const CsvTable& table, int64_t row, int64_t column);

/// What people write for a value that is not there.
bool looks_missing(std::string_view cell);

/// A decimal sign of the other kind in a column of numbers. Errors: ValueError, always.
[[noreturn]] void refuse_decimal(const CsvTable& table, int64_t row, int64_t column);
/// A column whose every cell is nearly a number. Errors: ValueError, always.
[[noreturn]] void refuse_number_like(const CsvTable& table, int64_t row, int64_t column);

}  // namespace gw::inline data
