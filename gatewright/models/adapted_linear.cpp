#include "gatewright/models/adapted_linear.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"

namespace gw::inline models {

std::shared_ptr<Mixture> make_adapters(int64_t in, int64_t out, const Json& options, const Rng& rng,
                                       const std::string& site, const char* part) {
  for (const char* own : {"in", "out", "seed"}) {
    GW_CHECK(!options.contains(own), "{}: expected no \"{}\" in \"adapters\", which follows from the model",
             part, own);
  }
  Json table = options;
  table["in"] = in, table["out"] = out;
  table["seed"] = static_cast<int64_t>(rng.fork("adapters").key() >> 1);
  if (!table.contains("bank")) table["bank"] = "lora";
  auto made = Mixture::from_json(table);
  made->set_site(site);
  return made;
}

at::Tensor with_adapters(const at::Tensor& y, Mixture& adapters, const std::string& site, const at::Tensor& x,
                         const RouterInputs& inputs, const Pass& pass, std::vector<SitedPlan>& plans) {
  auto own = pass;  // layers draw apart
  own.rng = pass.rng.fork(site);
  auto out = adapters.forward(x, inputs, own);
  plans.push_back({site, std::move(out.plan)});
  return y + out.y;
}

AdaptedLinear::AdaptedLinear(int64_t in, int64_t out, const Json& adapters, const Rng& rng,
                             const std::string& site, const char* part)
    : torch::nn::Module("AdaptedLinear"), site_(site) {
  const auto weight = ops::default_uniform(rng, {out, in}), bias = at::zeros({out});
  if (adapters.empty()) {
    weight_ = register_parameter("weight", weight), bias_ = register_parameter("bias", bias);
    return;
  }
  weight_ = register_buffer("weight", weight), bias_ = register_buffer("bias", bias);
  adapters_ = register_module("adapters", make_adapters(in, out, adapters, rng, site, part));
}

at::Tensor AdaptedLinear::forward(const at::Tensor& x, const RouterInputs& inputs, const Pass& pass,
                                  std::vector<SitedPlan>& plans) {
  const auto y = ops::linear(x, weight_, bias_);
  return adapters_ == nullptr ? y : with_adapters(y, *adapters_, site_, x, inputs, pass, plans);
}

void AdaptedLinear::end_step() {
  if (adapters_ != nullptr) adapters_->end_step();
}

}  // namespace gw::inline models
