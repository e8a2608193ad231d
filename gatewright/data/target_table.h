#pragma once
// Several answers of one table: some columns are targets, the others inputs.
#include "gatewright/data/csv.h"
#include "gatewright/data/dataset.h"

namespace gw::inline data {

struct TargetTableOptions {
  std::vector<std::string> targets;
  std::vector<std::string> inputs;   ///< empty: all columns but the targets
  std::vector<std::string> factors;  ///< columns of numbers that are names of groups, inputs or targets
  bool drop_missing = false;         ///< leave rows with missing inputs out instead of refusing them
  double test_share = 0.2;
  uint64_t seed = 0;
};

/// Rows of a table in a seeded order, the last `test_share` of it for the test.
/// Fields: "x" [n, D] with mean 0 and deviation 1 over the training rows; "targets" [n, T] float32: the
/// number
///         of a class for a column of text or one among the factors, else the number, standardised over the
///         training rows that have it (TargetColumn::scale undoes it); NaN where the table has no value. Rows
///         without any target are left out.
/// Errors: those of gatewright/data/frame.h; ValueError for fewer than 4 rows, for a target that is named
///         twice or is an input, for a column of numbers whose training rows are all the same.
TaskData target_table(const CsvTable& table, const TargetTableOptions& options);

}  // namespace gw::inline data
