#include "gatewright/experts/ffn_weights.h"

#include <ATen/ATen.h>

#include "gatewright/ops/init.h"

namespace gw::inline experts {

at::Tensor stacked_uniform(const Rng& rng, int64_t experts, int64_t out, int64_t in, bool drawn) {
  if (!drawn) return at::empty({experts, out, in});
  std::vector<at::Tensor> weights;
  for (int64_t e = 0; e < experts; ++e)
    weights.push_back(ops::default_uniform(rng.fork("expert", static_cast<uint64_t>(e)), {out, in}));
  return at::stack(weights);
}

ops::FfnWeights named_weights(const torch::OrderedDict<std::string, at::Tensor>& all) {
  const auto find = [&](const char* name) {
    const auto* tensor = all.find(name);
    return tensor == nullptr ? at::Tensor() : *tensor;
  };
  return {find("wg"), find("w1"), find("w2"), find("bg"), find("b1"), find("b2"), find("activation")};
}

ops::FfnWeights named_weights(const torch::nn::Module& module) {
  return named_weights(module.named_parameters(/*recurse=*/false));
}

ops::FfnWeights in_bf16(ops::FfnWeights w) {
  for (auto* t : {&w.gate, &w.up, &w.down, &w.gate_bias, &w.up_bias, &w.down_bias, &w.activation})
    if (t->defined()) *t = t->to(at::kBFloat16);
  return w;
}

}  // namespace gw::inline experts
