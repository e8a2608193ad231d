#pragma once
#include <optional>
#include <vector>

#include "stats/inference.h"

namespace gw::stats {

/// What a mixture says about y at one x.
struct Prediction {
  double mean = 0;                   ///< for classes: the likeliest one
  double low = 0, high = 0;          ///< equal-tailed interval for a new y, from the mixture's own quantiles (not for classes)
  std::optional<double> mean_error;  ///< standard error of `mean`, with a covariance
  std::vector<double> gate;          ///< prior probabilities of the experts [experts]
  std::vector<double> expert;        ///< their means [experts] (not for classes)
  std::vector<double> classes;       ///< class probabilities [classes]
};

/// Errors: ValueError unless 0 < level < 1. The interval covers the noise and the choice of the expert, not the uncertainty of the
/// estimates; that is `mean_error`, by the delta method from `inference`.
Prediction predict(const MixtureSpec& spec, const MixtureParameters& parameters, const double* x, int64_t d, double level,
                   const Inference* inference = nullptr);

/// P(y <= at | x) and its inverse. Not for classes.
double mixture_cdf(const MixtureSpec& spec, const MixtureParameters& parameters, const double* x, double at);
double mixture_quantile(const MixtureSpec& spec, const MixtureParameters& parameters, const double* x, double probability);

}  // namespace gw::stats
