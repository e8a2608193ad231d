#include "gatewright/language/blocks/adapted_perceptron.h"

#include <ATen/ATen.h>

#include "gatewright/experts/ffn_weights.h"
#include "gatewright/models/adapted_linear.h"
#include "gatewright/ops/activation.h"
#include "gatewright/ops/conv.h"

namespace gw::inline language {

AdaptedPerceptron::AdaptedPerceptron(const std::shared_ptr<Bank>& dense, const std::string& activation,
                                     const Json& adapters, const Rng& rng, const std::string& site)
    : torch::nn::Module("AdaptedPerceptron"), dense_(dense), activation_("decoder", activation) {
  const auto beside = [&](const char* name, const at::Tensor& weight) {
    if (!weight.defined()) return Product{};
    const auto own = site + "." + name;
    return Product{register_module(name, make_adapters(weight.size(2), weight.size(1), adapters,
                                                       rng.fork(name), own, "decoder")),
                   own};
  };
  const auto weights = named_weights(*dense);
  up_ = beside("w1", weights.up), gate_ = beside("wg", weights.gate), down_ = beside("w2", weights.down);
}

at::Tensor AdaptedPerceptron::product(const Product& of, const at::Tensor& x, const at::Tensor& weight,
                                      const at::Tensor& bias, Decisions& d) {
  const auto y = ops::linear(x, weight[0], bias.defined() ? bias[0] : bias);
  auto inputs = d.inputs;
  inputs.scores = at::Tensor();  // made ahead for another router
  return with_adapters(y, *of.adapters, of.site, x, inputs, d.pass, d.plans);
}

at::Tensor AdaptedPerceptron::forward(const at::Tensor& x, Decisions& d) const {
  const auto w = named_weights(*dense_);
  auto hidden = product(up_, x, w.up, w.up_bias, d);
  if (w.gate.defined())
    hidden = ops::activation(product(gate_, x, w.gate, w.gate_bias, d), activation_) * hidden;
  else
    hidden = ops::activation(hidden, activation_);
  return product(down_, hidden, w.down, w.down_bias, d);
}

void AdaptedPerceptron::end_step() {
  for (const auto* one : {&up_, &gate_, &down_})
    if (one->adapters != nullptr) one->adapters->end_step();
}

}  // namespace gw::inline language
