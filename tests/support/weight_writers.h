#pragma once
// Every way in which a program changes the weights of a module: what is kept for weights must follow all of
// them.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/grad_mode.h>
#include <torch/nn/module.h>
#include <torch/optim/adam.h>
#include <torch/optim/sgd.h>
#include <torch/serialize.h>

#include <functional>
#include <sstream>
#include <vector>

namespace gw::test {

struct WeightWriter {
  const char* name;
  std::function<void(torch::nn::Module&)> write;
  bool seen_in_scope;  ///< changes a storage or a version counter, so that FrozenParameters sees it too
};

inline void scale_through_data(torch::nn::Module& module, double factor) {
  for (auto& p : module.parameters()) p.data().mul_(factor);
}

template <class Optimizer, class Options>
void one_step(torch::nn::Module& module) {
  for (auto& p : module.parameters()) p.mutable_grad() = 0.3 * at::ones_like(p) + p.detach();
  Optimizer(module.parameters(), Options(0.1)).step();
  for (auto& p : module.parameters()) p.mutable_grad() = at::Tensor();
}

inline void load_other_values(torch::nn::Module& module) {
  scale_through_data(module, 2);
  std::stringstream stream;
  torch::serialize::OutputArchive out;
  module.save(out);
  out.save_to(stream);
  scale_through_data(module, 0.5);
  torch::serialize::InputArchive in;
  in.load_from(stream);
  module.load(in);
}

inline std::vector<WeightWriter> weight_writers() {
  using torch::nn::Module;
  return {
      {"torch::optim::SGD", one_step<torch::optim::SGD, torch::optim::SGDOptions>, false},
      {"torch::optim::Adam", one_step<torch::optim::Adam, torch::optim::AdamOptions>, true},
      {"data()", [](Module& m) { scale_through_data(m, 1.5); }, false},
      {"set_data()",
       [](Module& m) {
         for (auto& p : m.parameters()) p.set_data(p.detach() * 0.5);
       },
       true},
      {"in place under NoGradGuard",
       [](Module& m) {
         const at::NoGradGuard guard;
         for (auto& p : m.parameters()) p.mul_(1.25);
       },
       true},
      {"in place under InferenceMode",
       [](Module& m) {
         const c10::InferenceMode guard;
         for (auto& p : m.parameters()) p.mul_(0.75);
       },
       true},
      {"torch::load", load_other_values, true},
      {"one value of one tensor",
       [](Module& m) {
         auto value = m.parameters().front().data();
         while (value.dim() > 0) value = value[0];
         value.add_(5);
       },
       false},
  };
}

}  // namespace gw::test
