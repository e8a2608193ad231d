#pragma once
// Distances between the conditional densities of two models, by quadrature: no sampling noise, so that rates
// down to 1/n show.
#include <vector>

#include "gatewright/likelihood/mixture.h"

namespace gw::likelihood {

/// Points of x with weights that add up to 1. Rows of d numbers.
struct InputNodes {
  int64_t d = 1;
  std::vector<double> x, weight;
  int64_t count() const { return static_cast<int64_t>(weight.size()); }
};

/// Midpoint nodes of the uniform law on [lo, hi] (d = 1), or of the standard normal law (its quantiles).
/// Errors: ValueError unless count is at least 2 and lo < hi.
InputNodes uniform_nodes(double lo, double hi, int64_t count);
InputNodes normal_nodes(int64_t count);

struct Divergence {
  double hellinger = 0;  ///< sqrt(E_x[1 − ∫ sqrt(p q) dy]), the distance h with h² in [0, 1]
  double kl = 0;         ///< E_x ∫ p log(p / q) dy: the gap in expected log-likelihood; may be infinite
};

/// How far the fitted q(y | x) is from the true p(y | x), averaged over the nodes.
/// Math:   trapezoidal rule in y around the true experts' means, with a step of a quarter of the narrowest
///         scale (error below 1e-8: the rule converges faster than any power for smooth tails); sums over the
///         classes of a multinomial.
/// Errors: ValueError unless both are Gaussian or both multinomial with the same number of classes.
/// Cost:   nodes · (range / step) · experts exponentials: about 5 ms for 400 nodes and experts of the papers.
Divergence divergence(const MixtureSpec& true_spec, const MixtureParameters& truth,
                      const MixtureSpec& fitted_spec, const MixtureParameters& fitted,
                      const InputNodes& nodes);

}  // namespace gw::likelihood
