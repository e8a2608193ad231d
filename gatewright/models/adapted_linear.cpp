#include "gatewright/models/adapted_linear.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"

namespace gw::inline models {

AdaptedLinear::AdaptedLinear(int64_t in, int64_t out, const Json& adapters, const Rng& rng,
                             const std::string& site, const char* part)
    : torch::nn::Module("AdaptedLinear"), site_(site) {
  const auto weight = ops::default_uniform(rng, {out, in}), bias = at::zeros({out});
  if (adapters.empty()) {
    weight_ = register_parameter("weight", weight), bias_ = register_parameter("bias", bias);
    return;
  }
  for (const char* own : {"in", "out", "seed"}) {
    GW_CHECK(!adapters.contains(own), "{}: expected no \"{}\" in \"adapters\", which follows from the model",
             part, own);
  }
  weight_ = register_buffer("weight", weight), bias_ = register_buffer("bias", bias);
  Json table = adapters;
  table["in"] = in, table["out"] = out;
  table["seed"] = static_cast<int64_t>(rng.fork("adapters").key() >> 1);
  if (!table.contains("bank")) table["bank"] = "lora";
  adapters_ = register_module("adapters", Mixture::from_json(table));
  adapters_->set_site(site_);
}

at::Tensor AdaptedLinear::forward(const at::Tensor& x, const RouterInputs& inputs, const Pass& pass,
                                  std::vector<SitedPlan>& plans) {
  const auto y = ops::linear(x, weight_, bias_);
  if (adapters_ == nullptr) return y;
  auto own = pass;  // layers draw apart
  own.rng = pass.rng.fork(site_);
  auto out = adapters_->forward(x, inputs, own);
  plans.push_back({site_, std::move(out.plan)});
  return y + out.y;
}

void AdaptedLinear::end_step() {
  if (adapters_ != nullptr) adapters_->end_step();
}

}  // namespace gw::inline models
