#pragma once
// Dense models made sparse without training.
#include "gatewright/language/language_model.h"

namespace gw::inline language {

struct UpcycleOptions {
  int64_t experts = 4, k = 2;
  int64_t seed = 0;            ///< of the routers
  double router_scale = 0.02;  ///< standard deviation of the routers' weights
};

/// Every perceptron becomes `experts` copies of itself behind a router that chooses k and weighs them by a
/// softmax over the chosen: the weights add up to one, so the answers are the dense model's, up to the
/// rounding of a sum of k equal terms. Trained on, the copies grow apart.
/// Gives: a model of the family mixtral.
/// Errors: ValueError for families with biases in attention or head, and for k above the experts.
/// Source: Komatsuzaki et al. 2022, arXiv 2212.05055.
LanguageModel upcycled(const LanguageModel& dense, const UpcycleOptions& options);

}  // namespace gw::inline language
