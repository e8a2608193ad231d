#pragma once
// Data drawn from a model with known parameters, and starting values near them.
#include <vector>

#include "gatewright/base/rng.h"
#include "gatewright/likelihood/mixture.h"
#include "gatewright/likelihood/theory/divergence.h"

namespace gw::likelihood {

/// How inputs are drawn.
struct InputDistribution {
  enum class Kind { kUniform, kNormal };
  Kind kind = Kind::kUniform;
  double lo = 0, hi = 1;  ///< uniform
  int64_t d = 1;
};

/// Owns its rows; `view()` is what fits take.
struct SimulatedData {
  int64_t d = 1;
  std::vector<double> x, y;
  std::vector<int64_t> expert;  ///< which expert drew the row
  DataView view() const;
};

/// n rows: x from the design, an expert from the gate at x, y from the expert. Row i depends on the stream
/// and i alone, so a longer sample begins with the shorter one.
/// Every family draws by the inverse of its distribution function.
SimulatedData simulate(const MixtureSpec& spec, const MixtureParameters& truth,
                       const InputDistribution& design, int64_t n, const Rng& rng);

/// Quadrature nodes of a one-dimensional design. Errors: ValueError for d > 1.
InputNodes nodes_of(const InputDistribution& design, int64_t count);

/// How the starts of the papers' simulations are made: every fitted expert copies a true one, each of which
/// is used, then all is moved.
struct StartNoise {
  double amount = 0.005,
         power = 0.083;     ///< standard deviation amount · n^-power on gates, intercepts and slopes
  double gate_amount = -1;  ///< the same for gates alone; negative: as the others
  double variance_amount = 0.0005,
         variance_power = 0.25;  ///< variances grow by |N(0, (variance_amount · n^-variance_power)²)|
  int64_t copy_of = -1;          ///< the true expert that extra experts copy; -1: drawn
  double spare_bias = 0,
         spare_slope = 0;  ///< added to the gates of extra experts: how much, and where, they take part
  double split = 0;  ///< multinomial, a constant expert: share of a class that its copy takes and it loses;
                     ///< their mixture stays the same
  double ridge = 1;  ///< dense-to-sparse: gate slopes and temperature times this, along the flat direction
};

/// A start with `experts` >= the true number. Copies share their original's weight, so that the start is the
/// true density but for the noise. Differs from the published scripts, where copies keep the whole weight.
/// Errors: ValueError for fewer experts than the truth has.
MixtureParameters start_near(const MixtureParameters& truth, int64_t experts, int64_t n,
                             const StartNoise& noise, const Rng& rng);

/// The i-th standard normal draw of a stream.
double normal_draw(const Rng& rng, uint64_t i);

}  // namespace gw::likelihood
