// A mixture layer of 8 experts, 2 per token, trained for 200 steps on a task with four regimes.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include "gatewright/base/registry.h"
#include "gatewright/mixture/mixture.h"
#include "gatewright/ops/random.h"
#include "gatewright/train/optimizer.h"

int main() {
  auto layer = gw::Mixture::from_json({{"in", 8},
                                       {"experts", 8},
                                       {"bank", {{"part", "mlp"}, {"hidden", 32}}},
                                       {"policy", {{"part", "softmax_top_k"}, {"k", 2}}},
                                       {"balancers", {"switch_loss"}}});
  gw::Optimizer::Context parameters;
  for (const auto& p : layer->named_parameters()) parameters.parameters.push_back({p.key(), p.value()});
  auto adam = gw::make_part<gw::Optimizer>("adam", gw::Json::object(), parameters);

  const gw::Rng rng(7);
  double first = 0, last = 0;
  for (uint64_t step = 0; step < 200; ++step) {
    const auto x = gw::ops::normal(rng.fork("x", step), {256, 8}, 0, 1);
    const auto sign = at::sign(x.narrow(1, 0, 2)).prod(1, true);  // the regime: the product of two signs
    const auto out = layer->forward(x);
    const auto loss = (out.y - sign * x).square().mean() + out.plan.aux.at("switch_loss");
    adam->step(torch::autograd::grad({loss}, adam->values()), 0.01);
    (step == 0 ? first : last) = loss.item<double>();
  }
  fmt::print("loss {:.3f} → {:.3f}\n", first, last);
  return last < 0.7 * first ? 0 : 1;
}
