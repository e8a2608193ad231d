#pragma once
#include <optional>
#include <vector>

#include "gatewright/likelihood/inference.h"
#include "gatewright/likelihood/mean_interval.h"

namespace gw::likelihood {

/// What a mixture says about y at one x.
struct Prediction {
  double mean = 0;  ///< for classes: the likeliest one
  double low = 0,
         high = 0;  ///< equal-tailed interval for a new y, from the mixture's own quantiles (not for classes)
  std::optional<double> mean_error;       ///< standard error of `mean`, with `inference`
  std::optional<Interval> mean_interval;  ///< of `mean`, likewise (gatewright/likelihood/mean_interval.h)
  std::vector<double> gate;               ///< prior probabilities of the experts [experts]
  std::vector<double> expert;             ///< their means [experts] (not for classes)
  std::vector<double> classes;            ///< class probabilities [classes]
};

/// What is wanted beside the mean: an interval of the mean costs a hundred times what the others do.
struct PredictionParts {
  bool interval = true;       ///< low and high
  bool mean_interval = true;  ///< with `inference`: mean_error and mean_interval
};

/// Errors: ValueError unless 0 < level < 1. Without `inference` the interval is that of the fitted mixture as
///         if its parameters were known.
/// With it each expert is widened by what its line is uncertain at x and what its scale lost to its
/// coefficients; normal experts become Student's t, so that with one expert the interval is the textbook's
/// exact one. The gate's uncertainty is not part of it.
/// `mean_error` by the delta method; absent, and the interval with it, where the mean depends on what the
/// data do not determine. The interval is not mean ± 1.96 errors: where the gate turns over the mean is
/// curved in the gate's scores, and those cover too little.
Prediction predict(const MixtureSpec& spec, const MixtureParameters& parameters, const double* x,
                   double level, const Inference* inference = nullptr, const PredictionParts& parts = {});

/// P(y <= at | x) and its inverse. Not for classes.
double mixture_cdf(const MixtureSpec& spec, const MixtureParameters& parameters, const double* x, double at);
double mixture_quantile(const MixtureSpec& spec, const MixtureParameters& parameters, const double* x,
                        double probability);

}  // namespace gw::likelihood
