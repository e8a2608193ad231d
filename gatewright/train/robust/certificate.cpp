#include "gatewright/train/robust/certificate.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/check.h"

namespace gw::inline train {
namespace {

at::Tensor sole(const RoutingPlan& plan) {
  const auto rows = at::bincount(plan.token, {}, plan.tokens);
  return chosen_experts(plan).masked_fill(rows.ne(1), -1);
}

at::Tensor chosen_alone(const Network& network, const at::Tensor& scores) {
  return sole(network.image_policy().plan(scores, /*train=*/false, Rng(0)));
}

/// Routes of clean images, and whether each stands within a radius.
struct Standing {
  Network& network;
  at::Tensor images, expert, first;
  at::Tensor within(const at::Tensor& radius) const {
    const auto leads = network.route_leads(images, first, radius);
    return chosen_alone(network, leads.neg()).eq(expert).logical_and(expert.ge(0));
  }
};

Standing standing(Network& network, const at::Tensor& images) {
  check_certifiable(network);
  const auto expert = sole_experts(network, images);
  return {network, images.to(at::kDouble), expert, expert.clamp_min(0)};
}

}  // namespace

void check_certifiable(const Network& network) {
  std::string lacks;
  GW_CHECK(network.certifiable(&lacks),
           "certificate: expected a router that knows the radius within which its choice stands, got {}",
           lacks);
}

at::Tensor sole_experts(Network& network, const at::Tensor& images) {
  const at::NoGradGuard no_grad;
  Pass evaluation;
  evaluation.train = false;
  return chosen_alone(network, network.route(images, evaluation));
}

at::Tensor certified_routes(Network& network, const at::Tensor& images, const at::Tensor& radius) {
  const at::NoGradGuard no_grad;
  return standing(network, images).within(radius);
}

at::Tensor certified_radii(Network& network, const at::Tensor& images) {
  constexpr int kHalvings = 30;
  const at::NoGradGuard no_grad;
  const auto routes = standing(network, images);
  auto low = at::zeros({images.size(0)}, at::kDouble), high = at::ones({images.size(0)}, at::kDouble);
  low.masked_fill_(routes.within(high), 1);
  for (int i = 0; i < kHalvings; ++i) {
    const auto middle = (low + high) / 2, stands = routes.within(middle);
    low = at::where(stands, middle, low), high = at::where(stands, high, middle);
  }
  return low;
}

}  // namespace gw::inline train
