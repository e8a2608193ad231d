#pragma once
#include "gatewright/likelihood/local_model.h"

namespace gw::likelihood {

struct Interval {
  double low = 0, high = 0;
};

/// Equal-tailed interval of confidence `level` for the mean of a mixture at one x.
/// Math:   the estimates' normal law is taken to the gate's scores and the experts' predictors, in which it
///         is nearly right, and through mean = Σ gate(scores)_k · line_k as it stands. The delta method takes
///         the last step by a tangent: the gate bends the mean by as much as the tangent moves it as soon as
///         a score has an error near 1. Given the scores, the mean is normal for other families, and for
///         normal experts Student's t with their errors of few rows (gatewright/likelihood/small_sample.h)
///         and Satterthwaite's degrees of freedom; that law is averaged over the scores by a fixed set of
///         points, regular along the direction that moves the mean most. One expert: the textbook's t
///         interval. Which experts a top-k gate takes at x is held.
/// Errors: none; the caller has made sure that the mean is determined there.
/// Cost:   256 points for each of some twenty steps: 0.8 ms for two experts on one core of a 2-core Xeon VM.
/// Source: Krinsky and Robb (1986) draw from the same law; here it is integrated.
Interval mean_interval(const MixtureSpec& spec, const MixtureParameters& parameters, const LocalModel& at,
                       double level, const Inference& inference);

}  // namespace gw::likelihood
