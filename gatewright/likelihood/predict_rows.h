#pragma once
#include <functional>
#include <string>
#include <vector>

#include "gatewright/data/csv.h"
#include "gatewright/likelihood/mixture_model.h"

namespace gw::likelihood {

/// A table of predictions: one line per row of the input that has no missing value.
struct PredictedRows {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
  int64_t dropped = 0;
};

/// Columns: row, then mean, its standard error and interval, the interval for a new value (or the class and
/// the probabilities of all),
/// gate probabilities;
/// with the response in the table and `explain`, also the responsibilities and the log density.
/// Errors: ValueError for a table that does not fit the model.
PredictedRows predict_rows(const MixtureModel& model, const CsvTable& table, double level, bool drop_missing,
                           bool explain);

/// The same as CSV text.
std::string to_csv(const PredictedRows& predicted);

}  // namespace gw::likelihood
