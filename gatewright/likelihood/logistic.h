#pragma once
// Newton steps for linear scores under a softmax: gates against posteriors, and multinomial experts against
// classes.
#include <vector>

#include "gatewright/ops/em.h"

namespace gw::likelihood {

/// `free` scores, each linear in P columns; the last score of the softmax is fixed at zero and has no place
/// here.
/// Sums: gradient [free, P], then the information's blocks (a, b), b <= a, each a packed triangle of P
/// columns.
class LogisticSums {
 public:
  LogisticSums(int64_t free, int64_t columns, bool with_information)
      : free_(free), columns_(columns), information_(with_information) {}
  int64_t size() const;
  static constexpr int64_t kScratch = 6;  ///< blocks of the information whose moments are taken together

  /// residual_a = target_a - weight·probability_a goes into the gradient, weight·p_a(δ_ab - p_b) into the
  /// information.
  /// Arrays per score lie `stride` apart; `scratch` holds kScratch columns.
  void accumulate(const ops::EmColumns& columns, const double* weight, const double* probability,
                  const double* target, int64_t stride, double* scratch, double* sum) const;

  /// The step that solves (information + ridge) step = gradient - ridge·current. `ridge` applies to every
  /// coefficient but the first of a score (its intercept). Steps longer than `limit` in any coefficient are
  /// scaled down.
  std::vector<double> step(const double* sum, const std::vector<double>& current, double ridge,
                           double limit) const;

  /// As `step` with Böhning's bound ½(I - 11'/(free + 1)) ⊗ `moments` in place of the information: never
  /// overshoots.
  std::vector<double> bounded_step(const double* sum, const std::vector<double>& current, double ridge,
                                   const double* moments) const;

 private:
  std::vector<double> solve_for(const double* sum, const std::vector<double>& current, double ridge,
                                std::vector<double> matrix) const;
  int64_t free_, columns_;
  bool information_;
};

}  // namespace gw::likelihood
