// Packed panels follow the weights however they are written.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/grad_mode.h>
#include <torch/optim/sgd.h>

#include "mixture/mixture.h"
#include "ops/random.h"

namespace {

std::shared_ptr<gw::Mixture> layer() {
  return gw::Mixture::from_json({{"in", 16},
                                 {"experts", 4},
                                 {"policy", {{"part", "softmax_top_k"}, {"k", 2}}},
                                 {"bank", {{"part", "mlp"}, {"hidden", 8}, {"packed", true}}}});
}

at::Tensor packed(gw::Mixture& layer, const at::Tensor& x) {
  const at::NoGradGuard no_grad;
  return layer.forward(x).y;
}

TEST(PackedWeights, FollowWritesThatRaiseNoVersion) {
  const auto made = layer();
  made->eval();
  const auto x = gw::ops::normal(gw::Rng(1), {32, 16}, 0, 1);
  const auto check = [&](const char* how) { EXPECT_TRUE(at::allclose(packed(*made, x), made->forward(x).y.detach(), 1e-4, 1e-5)) << how; };
  const auto old = packed(*made, x);
  torch::optim::SGD sgd(made->parameters(), torch::optim::SGDOptions(1));
  made->forward(x).y.square().sum().backward();
  sgd.step();
  EXPECT_FALSE(at::allclose(old, made->forward(x).y.detach(), 1e-3, 1e-3)) << "the step is too small: this test would prove nothing";
  check("SGD");
  for (auto& p : made->parameters()) p.data().mul_(0.5);
  check("data()");
  for (auto& p : made->parameters()) p.set_data(p.detach() * 1.5);
  check("set_data()");
}

TEST(PackedWeights, ServeInInferenceMode) {
  const c10::InferenceMode guard;
  const auto made = layer();
  made->eval();
  EXPECT_TRUE(at::isfinite(made->forward(gw::ops::normal(gw::Rng(1), {8, 16}, 0, 1)).y).all().item<bool>());
}

}  // namespace
