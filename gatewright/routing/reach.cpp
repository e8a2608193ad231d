#include "gatewright/routing/reach.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/ops/squared_norm.h"

namespace gw::inline routing {

double gradient_norm(const at::Tensor& loss, const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> leaves;
  for (const auto& parameter : parameters) {
    if (parameter.requires_grad()) leaves.push_back(parameter);
  }
  if (!loss.requires_grad() || leaves.empty()) return 0;
  const auto gradients =
      torch::autograd::grad({loss}, leaves, {}, /*retain_graph=*/true, false, /*allow_unused=*/true);
  double squares = 0;
  for (const auto& gradient : gradients) {
    squares += ops::squared_norm(gradient);
  }
  return std::sqrt(squares);
}

double router_reach(const std::string& name, const at::Tensor& loss,
                    const std::vector<at::Tensor>& router_parameters) {
  GW_CHECK(!router_parameters.empty(),
           "router: expected a router that the loss \"{}\" can teach, got a network without one", name);
  const double norm = gradient_norm(loss, router_parameters);
  GW_CHECK(
      norm > 0, "router: expected the loss \"{}\" to reach the router, got gradient norm {}; {}", name, norm,
      loss.requires_grad() ? "is it constant, or its coefficient zero?" : "it is detached from the scores");
  return norm;
}

}  // namespace gw::inline routing
