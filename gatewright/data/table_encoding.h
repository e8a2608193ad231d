#pragma once
// From a table of text to the field "x" of a network, and back from its answers: numbers standardised,
// factors as columns of 0 and 1, cells that are missing, levels that training never saw.
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "gatewright/base/json.h"
#include "gatewright/data/csv.h"
#include "gatewright/data/dataset.h"

namespace gw::inline data {

/// One input of a table as it enters a network.
///   number: (value − mean) / deviation of the training rows, at most 10⁴ either way; a missing cell counts
///   as
///           the mean, and where training had missing cells a column of 0 and 1 says so.
///   factor: a column of 0 and 1 for each level. Levels of few training rows share one column, which levels
///           that training never saw go to as well; without rare levels those are 0 in every column. A
///           missing cell is a level of its own if training had one, else as one that was never seen.
struct EncodedColumn {
  std::string name;
  std::vector<std::string> levels;  ///< sorted; empty for numbers
  bool rare = false;                ///< of a factor: the column that rare levels share
  bool missing = false;             ///< the column that says which cells are missing
  double mean = 0, deviation = 1;   ///< of a number
  bool switched = false;            ///< a number of two different values: a factor in one column
  bool factor() const { return !levels.empty(); }
  /// Columns of x.
  int64_t width() const;
};

/// What turns rows into x; a model folder keeps it, so that new tables are read in the same way.
struct TableEncoding {
  std::string response;
  std::vector<std::string> classes;    ///< of a response that is a class, sorted; empty for numbers
  double y_mean = 0, y_deviation = 1;  ///< of a response that is a number, over the training rows
  std::vector<EncodedColumn> columns;
  int64_t width() const;
  /// Columns of x that are numbers of more than two values: a line says all that two values can say.
  std::vector<int64_t> numeric() const;
  /// Which columns of x came from which column of the table.
  std::vector<InputField> fields() const;
};

/// The response of a table.
struct TableTarget {
  std::vector<std::string> classes;  ///< sorted; empty: a number
  std::vector<int64_t> rows;         ///< rows of the table that have it
  std::vector<double> y;             ///< of those rows: the number, or the place of the class
  std::string reason;                ///< why it is a class or a number, in words
};

/// `kind`: "class", "number", or "auto": text is a class, and so are at most 20 different whole numbers.
/// Errors: ValueError with the near miss for a column that the table has not, for one without values, with
/// one
///         class, with more than 100 classes, and for text in a column of numbers.
TableTarget read_target(const CsvTable& table, const std::string& response, const std::string& kind);

struct EncodingOptions {
  std::string response;
  std::vector<std::string> inputs;   ///< empty: all columns but the response and those left out
  std::vector<std::string> exclude;  ///< left out
  std::vector<std::string> factors;  ///< numbers that are names of groups
  int64_t rare = 3;                  ///< a level of fewer training rows is rare
};

/// Looks at the training rows `rows` of the table; what it leaves out (constant columns, texts that are all
/// different, columns without a name) is told in `notes`. `target` fills the response.
/// Errors: ValueError naming column and line for a column without a value in these rows, for text among
///         numbers, for no input at all, for names that the table has not.
TableEncoding learn_encoding(const CsvTable& table, const EncodingOptions& options, const TableTarget& target,
                             const std::vector<int64_t>& rows, std::vector<std::string>& notes);

/// x [rows, width] f32 of rows first … first + count of the table; its columns are found by their names.
/// Errors: ValueError naming line and column for a column that is not there (with the near miss) and for text
///         among numbers. Cost: 20 ns a cell for numbers, one look-up a cell for factors.
at::Tensor encode_rows(const CsvTable& table, const TableEncoding& encoding, int64_t first, int64_t count);

Json to_json(const TableEncoding& encoding);
/// Errors: ValueError naming `where` for a description that is damaged.
TableEncoding table_encoding_from_json(const Json& json, const std::string& where);

}  // namespace gw::inline data
