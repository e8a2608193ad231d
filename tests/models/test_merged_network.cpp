// Networks whose kernels are merged for every image.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/error.h"
#include "gatewright/models/network.h"
#include "gatewright/ops/random.h"

namespace gw::test::merged_network_cases {

NetworkOptions options(const std::string& execution) {
  NetworkOptions o;
  o.experts = 3, o.ratio = 0.5, o.seed = 7, o.backbone_options = Json{{"width", 4}};
  o.routing = "layer", o.gate = "pooled_linear", o.execution = execution;
  if (execution == "merged") o.policy = Json{{"part", "dense_softmax"}, {"score", "sigmoid"}};
  return o;
}

std::shared_ptr<Network> make(const NetworkOptions& o) { return std::make_shared<Network>(o, 1, 16, 16, 5); }

at::Tensor images(int64_t count) { return ops::uniform(Rng(3), {count, 1, 16, 16}, 0, 1); }

// With all weight on one expert the merged kernels are that expert's.
TEST(MergedNetwork, OfOneExpertIsItsPathway) {
  const auto merged = make(options("merged")), chosen = make(options("bucketed"));
  const at::NoGradGuard no_grad;
  for (const bool train : {false, true}) {
    for (int64_t e = 0; e < 3; ++e) {
      ForwardOptions pass;
      pass.forced_expert = e, pass.train = train;
      EXPECT_TRUE(merged->forward(images(6), pass)
                      .logits.allclose(chosen->forward(images(6), pass).logits, 1e-4, 1e-5))
          << e << (train ? " while training" : "");
    }
  }
}

// What an attack climbs: the gradient must go through the gates, or the attack looks for the wrong images.
TEST(MergedNetwork, GradientsOfImagesGoThroughTheGates) {
  const auto network = make(options("merged"));
  network->to(at::kDouble);
  network->eval();
  ForwardOptions pass;
  pass.straight_through = false;  // as attacks pass it
  const auto at0 = images(2).to(at::kDouble), way = ops::normal(Rng(4), at0.sizes(), 0, 1).to(at::kDouble);
  const auto sum = [&](const at::Tensor& x) { return network->forward(x, pass).logits.pow(2).sum(); };
  const auto x = at0.detach().requires_grad_(true);
  const double slope = torch::autograd::grad({sum(x)}, {x})[0].mul(way).sum().item<double>();
  const at::NoGradGuard no_grad;
  const double h = 1e-6;
  const double change = (sum(at0 + h * way) - sum(at0 - h * way)).item<double>() / (2 * h);
  EXPECT_NEAR(slope, change, 1e-6 * std::abs(change));
}

TEST(MergedNetwork, AnImageAloneAndAmongOthersHasTheSameAnswer) {
  const auto network = make(options("merged"));
  network->eval();
  const at::NoGradGuard no_grad;
  const auto all = network->forward(images(9)).logits;
  for (int64_t i = 0; i < 9; ++i)
    EXPECT_TRUE(network->forward(images(9).narrow(0, i, 1)).logits.allclose(all.narrow(0, i, 1), 1e-5, 1e-6))
        << i;
}

TEST(MergedNetwork, EveryParameterLearns) {
  for (const std::string routing : {"layer", "image"}) {
    auto o = options("merged");
    o.routing = routing, o.own = {"head"};
    if (routing == "image") o.gate = Json{{"part", "cnn"}, {"arch", "small"}, {"width", 2}};
    const auto network = make(o);
    network->forward(images(8)).logits.pow(2).sum().backward();
    for (const auto& p : network->named_parameters()) {
      ASSERT_TRUE(p.value().grad().defined()) << routing << ": " << p.key();
      EXPECT_GT(p.value().grad().abs().sum().item<double>(), 0) << routing << ": " << p.key();
    }
  }
}

TEST(MergedNetwork, TakesAnyWeightsButNoSlots) {
  for (const char* part : {"dense_softmax", "softmax_top_k", "relu", "top1_straight_through"}) {
    auto o = options("merged");
    o.policy = part;
    EXPECT_TRUE(make(o)->forward(images(4)).logits.isfinite().all().item<bool>()) << part;
  }
  auto o = options("merged");
  o.policy = "soft_moe";
  EXPECT_THROW(make(o)->forward(images(4)), ValueError);
  o = options("merged"), o.own = {"norms"};
  EXPECT_THROW(make(o), ValueError);
}

}  // namespace gw::test::merged_network_cases
