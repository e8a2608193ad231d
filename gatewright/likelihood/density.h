#pragma once
// Densities of a mixture at given parameters. Sums of exponentials are shifted by their maximum, so no score
// is too large.
#include <vector>

#include "gatewright/likelihood/mixture.h"

namespace gw::likelihood {

/// log pi_k(x) of all experts; -infinity for one that the gate does not select. `x`: one row of d numbers;
/// `out`: [experts].
/// Ties of a top-k selection go to the lower index.
void log_gates(const MixtureSpec& spec, const MixtureParameters& parameters, const double* x, double* out);

/// Sets all but the `keep` largest ranks' scores to -infinity; ties go to the lower index.
void keep_largest(const double* rank, int64_t count, int64_t keep, double* score);

/// Linear predictors of one expert: the mean, or the log odds of each class against the last. `out`:
/// [outputs].
void expert_predictors(const MixtureSpec& spec, const MixtureParameters& parameters, int64_t expert,
                       const double* x, double* out);

/// log f_k(y | x) of one expert.
double expert_log_density(const MixtureSpec& spec, const MixtureParameters& parameters, int64_t expert,
                          const double* x, double y);

/// The same where its predictors are known already.
double expert_log_density_at(const MixtureSpec& spec, const MixtureParameters& parameters, int64_t expert,
                             const double* predictor, double y);

/// log p(y | x). With `responsibility` ([experts]) also the posterior probabilities of the experts.
double log_density(const MixtureSpec& spec, const MixtureParameters& parameters, const double* x, double y,
                   double* responsibility = nullptr);

/// The same for all rows. Cost: n · experts · (gate_inputs + inputs), over all threads; the bits do not
/// depend on their number.
double log_likelihood(const MixtureSpec& spec, const MixtureParameters& parameters, const DataView& data);
std::vector<double> log_densities(const MixtureSpec& spec, const MixtureParameters& parameters,
                                  const DataView& data);  ///< [n]
std::vector<double> responsibilities(const MixtureSpec& spec, const MixtureParameters& parameters,
                                     const DataView& data);  ///< [n, experts]
std::vector<double> gate_probabilities(const MixtureSpec& spec, const MixtureParameters& parameters,
                                       const DataView& data);  ///< [n, experts]

/// log(sum exp(v_i)), -infinity if all are.
double log_sum_exp(const double* values, int64_t count);

/// The elementwise functions of gates.
double activate(const Activation& activation, double u);
double activate_slope(const Activation& activation, double u);  ///< derivative

}  // namespace gw::likelihood
