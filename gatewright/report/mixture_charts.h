#pragma once
// Charts of a fitted mixture. Each is "" where it has nothing to show: without a numeric input, or for
// another family.
#include <string>
#include <vector>

#include "gatewright/likelihood/fit_mixtures.h"

namespace gw::inline report {

/// Data, experts' lines, the mixture's mean and the interval for new rows, along the first numeric input.
std::string fitted_chart(const likelihood::FitOutcome& outcome);
std::string class_chart(const likelihood::FitOutcome& outcome);
std::string gate_chart(const likelihood::FitOutcome& outcome);
std::string responsibility_chart(const likelihood::FitOutcome& outcome);
/// Normal scores of P(Y <= y | x): standard normal, whatever the family, if the model holds.
std::string residual_chart(const likelihood::FitOutcome& outcome);
std::string trace_chart(const likelihood::FitOutcome& outcome);
std::string criteria_chart(const likelihood::FitOutcome& outcome);

/// How the rows fall to the experts.
struct ExpertShares {
  std::vector<int64_t> rows;           ///< by the most probable expert
  std::vector<double> responsibility;  ///< sums over the rows
  double entropy = 0;                  ///< of the responsibilities, mean over rows, over its largest value
};
ExpertShares expert_shares(const likelihood::FitOutcome& outcome);

/// "along x the side changes at 5.36": where another expert becomes the likeliest one; "" if nowhere or at
/// more than three places.
std::string change_words(const likelihood::FitOutcome& outcome);

}  // namespace gw::inline report
