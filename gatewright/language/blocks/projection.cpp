#include "gatewright/language/blocks/projection.h"

#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/models/adapted_linear.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/random.h"

namespace gw::inline language {

at::Tensor projected(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const bool recorded = at::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad());
  return recorded ? ops::linear(x, weight, bias) : ops::dense(x, ops::dense_weight(weight, bias));
}

at::Tensor projected_by_expert(const at::Tensor& rows, const RoutingPlan& plan, const at::Tensor& weight,
                               const std::vector<ops::DenseWeight>& held) {
  GW_CHECK(plan.rows() > 0, "attention: expected a policy that chooses experts, got a plan without rows");
  std::vector<at::Tensor> parts;
  for (int64_t e = 0; e < plan.experts(); ++e) {
    if (plan.rows_of(e) == 0) continue;
    const auto own = rows.narrow(0, plan.offsets[static_cast<size_t>(e)], plan.rows_of(e));
    parts.push_back(held.empty() ? projected(own, weight[e], {})
                                 : ops::dense(own, held[static_cast<size_t>(e)]));
  }
  return parts.size() == 1 ? parts.front() : at::cat(parts, 0);
}

Projection::Projection(int64_t in, int64_t out, bool bias, const Rng& rng, bool drawn)
    : torch::nn::Module("Projection") {
  const double deviation = 1 / std::sqrt(static_cast<double>(in));
  weight_ =
      register_parameter("weight", drawn ? ops::normal(rng, {out, in}, 0, deviation) : at::empty({out, in}));
  if (bias) bias_ = register_parameter("bias", at::zeros({out}));
}

at::Tensor Projection::forward(const at::Tensor& x) const {
  return held_ ? ops::dense(x, *held_) : projected(x, weight_, bias_);
}

at::Tensor Projection::forward(const at::Tensor& x, Decisions& d) const {
  const auto y = forward(x);
  if (adapters_ == nullptr) return y;
  auto inputs = d.inputs;
  inputs.scores = at::Tensor();  // made ahead for another router
  return with_adapters(y, *adapters_, site_, x, inputs, d.pass, d.plans);
}

void Projection::adapt(const Json& adapters, const Rng& rng, const std::string& site) {
  site_ = site;
  adapters_ = register_module(
      "adapters", make_adapters(weight_.size(1), weight_.size(0), adapters, rng, site, "decoder"));
}

void Projection::end_step() {
  if (adapters_ != nullptr) adapters_->end_step();
}

void Projection::hold(int64_t bits, int64_t group) {
  held_ = ops::dense_quantised(weight_, bias_, bits, group);
  weight_.set_data(at::empty({0}, weight_.options()));
}

void Projection::keep(const ops::CodedMatrix& codes) {
  held_ = ops::dense_coded(codes, bias_);
  GW_CHECK(weight_.sizes().equals({held_->out, held_->in}),
           "projection: expected codes of {} outputs and {} inputs, got {} and {}", weight_.size(0),
           weight_.size(1), held_->out, held_->in);
  weight_.set_data(at::empty({0}, weight_.options()));
}

}  // namespace gw::inline language
