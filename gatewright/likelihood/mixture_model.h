#pragma once
// A fitted mixture with the columns that it was fitted to: what a model file holds.
#include <string>
#include <vector>

#include "gatewright/base/options.h"
#include "gatewright/data/frame.h"
#include "gatewright/likelihood/inference.h"

namespace gw::likelihood {

struct MixtureModel {
  Schema schema;
  FitResult fit;  ///< experts in canonical order
  Inference inference;
  Criteria criteria;
};

/// One line of a table of coefficients.
struct CoefficientRow {
  std::string part;  ///< "gate 1", "expert 2", "expert 2, class b"
  std::string name;  ///< "(intercept)", a column, "scale", "degrees of freedom", "temperature"
  double estimate = 0;
  /// Of large samples; for the coefficients of normal experts times the factor of few rows
  /// (gatewright/likelihood/small_sample.h), so that those of one expert are the textbook's of least squares.
  std::optional<double> error, robust_error;
  std::optional<double> freedom;    ///< degrees of freedom of t; absent: normal
  std::optional<double> t, p;       ///< estimate / error, and of the hypothesis of zero; not for scales
  std::optional<double> low, high;  ///< 95 %, from error and freedom; not for scales
};
std::vector<CoefficientRow> coefficient_rows(const MixtureModel& model);

Json to_json(const MixtureModel& model);
/// Errors: ValueError naming `where` for a document of another kind or version, or whose sizes do not fit
///         together.
MixtureModel mixture_from_json(const Json& json, const std::string& where);

/// The file is replaced whole or not at all. Errors: IoError.
void write_model(const std::string& path, const MixtureModel& model);
MixtureModel read_model(const std::string& path);

}  // namespace gw::likelihood
