#include "routing/load.h"

#include <ATen/ATen.h>

#include <cmath>

namespace gw {

at::Tensor load(const RoutingPlan& plan) {
  auto counts = at::empty({plan.experts()}, at::kDouble);
  for (int64_t e = 0; e < plan.experts(); ++e) counts.data_ptr<double>()[e] = static_cast<double>(plan.rows_of(e));
  return plan.scores.defined() ? counts.to(plan.scores.scalar_type()) : counts.to(at::kFloat);
}

double load_entropy(const RoutingPlan& plan) {
  if (plan.experts() < 2 || plan.rows() == 0) return 1.0;
  double entropy = 0;
  for (int64_t e = 0; e < plan.experts(); ++e) {
    const double share = static_cast<double>(plan.rows_of(e)) / static_cast<double>(plan.rows());
    if (share > 0) entropy -= share * std::log(share);
  }
  return entropy / std::log(static_cast<double>(plan.experts()));
}

}  // namespace gw
