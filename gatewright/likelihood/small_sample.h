#pragma once
// What few rows cost an expert beyond the large-sample errors.
#include <optional>

#include "gatewright/likelihood/inference.h"

namespace gw::likelihood {

/// Of one expert: degrees of freedom, and what errors of its line grow by.
struct SmallSample {
  double freedom = 0;
  double factor = 1;  ///< sqrt((freedom + coefficients) / freedom)
};

/// Rows that an expert's scale s rests on are 1 / (2 Var log s) for normal noise (1 / Var log s for
/// Laplace's): n for a lone expert, and fewer than its posteriors add up to where membership is in doubt.
/// Less the coefficients they are its degrees of freedom (at least 1, at most 1e6). For one normal expert
/// that is the textbook's n - p, and `factor` makes the maximum-likelihood error the unbiased one. Absent for
/// classes and where the scale has no error. Cost: one pass over the parameters.
std::optional<SmallSample> small_sample(const MixtureSpec& spec, const MixtureParameters& parameters,
                                        const Inference& inference, int64_t expert);

}  // namespace gw::likelihood
