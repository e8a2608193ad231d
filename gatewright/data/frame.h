#pragma once
// From a table of text to numbers for a regression: which columns, which factors, which rows.
#include <string>
#include <vector>

#include "gatewright/base/json.h"
#include "gatewright/data/csv.h"

namespace gw::inline data {

/// A column of the table as it enters a model: a number, or a factor with one column of 0 and 1 per level but
/// the first.
struct Term {
  std::string name;
  std::vector<std::string> levels;  ///< sorted; empty for numbers; the first is the reference
};

/// What a table must look like; a model file keeps it, so that new tables are read in the same way.
struct Schema {
  std::string response;
  std::vector<Term> terms;           ///< in the order of the columns of x
  std::vector<std::string> classes;  ///< of a response that is a class, sorted; empty for numbers
  /// "age", "sex=male": names of the columns of x.
  std::vector<std::string> columns() const;
  /// Columns of x that are numbers of the table, not levels of a factor.
  std::vector<int64_t> numeric_columns() const;
  /// Columns of x that come from these terms. Errors: ValueError with the near miss.
  std::vector<int64_t> columns_of(const std::vector<std::string>& terms) const;
};

struct FrameOptions {
  std::string response;              ///< empty: none, the frame has inputs alone
  std::vector<std::string> inputs;   ///< empty: all columns but response and weights
  std::vector<std::string> factors;  ///< numbers to be taken as factors
  std::string weights;               ///< column of weights, or empty
  bool classes = false;              ///< the response is a class
  bool drop_missing = false;         ///< leave rows with missing values out instead of refusing them
};

/// n rows in double precision.
struct Frame {
  Schema schema;
  std::vector<double> x, y, weight;  ///< x [n, columns] row after row; weight empty without such a column
  std::vector<int64_t> row;          ///< rows of the table that are used
  int64_t dropped = 0;               ///< rows left out for a missing value
  int64_t weightless = 0;            ///< rows left out for their weight of 0: they say nothing
  std::vector<std::string>
      unnamed;  ///< columns that no name was given for, which are no inputs unless they are named among them
  int64_t size() const { return static_cast<int64_t>(row.size()); }
};

/// Errors: ValueError naming line and column for a missing value (unless they are dropped), for text in a
///         column of numbers, for a factor with one level or more than 100, and for a response that is also
///         an input.
Frame make_frame(const CsvTable& table, const FrameOptions& options);

/// The same columns from another table; y stays empty where the table has no such column. Errors: as above,
/// and for a level that the schema does not know.
Frame apply_schema(const CsvTable& table, const Schema& schema, bool drop_missing, bool with_response);

Json to_json(const Schema& schema);
Schema schema_from_json(const Json& json, const std::string& where);

}  // namespace gw::inline data
