#pragma once
// The nearest maximum of the likelihood from a given start, by Newton steps with the observed information. EM
// needs thousands of iterations where a fit has more experts than the truth (its information is singular
// there); a damped Newton step needs tens.
#include <cstdint>
#include <vector>

#include "gatewright/likelihood/mixture.h"

namespace gw::likelihood {

struct LocalOptions {
  int64_t max_iterations = 200;
  double tolerance = 1e-9;  ///< ends when a step promises less than this gain of the whole log-likelihood
  double min_scale =
      1e-3;  ///< a Gaussian expert's standard deviation stays above: the likelihood is unbounded without
  bool hold_constants = false;  ///< gate biases and intercepts stay where they start
  bool pin_last_slope = true;   ///< hold the last gate's slope even where an activation makes it identifiable
};

struct LocalFit {
  MixtureParameters parameters;
  double log_likelihood = 0;
  int64_t iterations = 0;
  bool converged = false;
  std::vector<double> trace;  ///< log-likelihood after every accepted step; never falls
};

/// Climbs from `start` to a local maximum.
/// Math:   score s = E[s_c | y] and information J = sum_i (s s' + E[−H_c | y] − E[s_c s_c' | y]) of the
///         complete data (gate and expert of each row, weighted by the posterior probabilities); steps solve
///         (J + mu·diag) step = s, mu by the achieved share of the promised gain (Levenberg, Marquardt).
///         Standard deviations move on the log scale, the temperature too. Second derivatives of a gate's
///         score in its own parameters (activation, temperature) are left out of J: their expectation at the
///         maximum is zero.
///         A top-k selection is held as constant in the derivatives; a step across a change of the selection
///         is judged by its likelihood.
/// Errors: ValueError for a family whose density has a kink or a shape parameter; for data that check_data
///         refuses.
/// Cost:   about n · (experts · parameters + parameters²) flop an iteration on the calling thread; nothing
///         here uses others.
LocalFit maximise_near(const DataView& data, const MixtureSpec& spec, const MixtureParameters& start,
                       const LocalOptions& options = {});

/// Log-likelihood, score and information at given parameters, in the order of local_codec
/// (gatewright/likelihood/theory/local_layout.h).
struct LocalExpansion {
  double log_likelihood = 0;
  std::vector<double> score;
  std::vector<double> information;  ///< [P, P]
};
LocalExpansion expand(const DataView& data, const MixtureSpec& spec, const MixtureParameters& parameters,
                      bool pin_last_slope = true);

}  // namespace gw::likelihood
