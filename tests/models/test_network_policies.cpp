// What image networks do with every policy of the catalogue, with weights that change, and with no images.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <thread>

#include "gatewright/base/registry.h"
#include "gatewright/models/network.h"
#include "gatewright/ops/frozen.h"
#include "gatewright/ops/random.h"
#include "tests/support/weight_writers.h"

namespace gw::test::network_policies_cases {

using gw::Network;

gw::NetworkOptions small(const PartChoice& policy, const std::string& routing = "image") {
  gw::NetworkOptions o;
  o.backbone = "small_cnn", o.experts = 3, o.ratio = 0.5, o.routing = routing, o.seed = 5;
  o.backbone_options = Json{{"width", 8}}, o.policy = policy;
  o.gate = routing == "image" ? PartChoice(Json{{"part", "cnn"}, {"arch", "small"}, {"width", 2}})
                              : "pooled_linear";
  return o;
}

at::Tensor images(int64_t n = 9) { return gw::ops::uniform(gw::Rng(1), {n, 3, 16, 16}, 0, 1); }

TEST(NetworkPolicies, AnExpertsChoiceWithAsManyRowsAsImagesIsRefused) {
  for (const std::string routing : {"image", "layer"}) {
    EXPECT_THROW(Network(small({"expert_choice", {{"capacity_factor", 1}}}, routing), 3, 16, 16, 4),
                 gw::ValueError)
        << routing;
  }
}

TEST(NetworkPolicies, WeightsOtherThanOneAreRefused) {
  for (const char* part : {"softmax_top_k", "sigmoid_top_k"}) {
    EXPECT_THROW(Network(small({part, {{"k", 1}}}), 3, 16, 16, 4), gw::ValueError) << part;
  }
}

// Bytes as a file has them, half precision, and doubles for weights in f32.
TEST(Network, ImagesOfAnotherTypeThanTheWeightsAreRefusedByName) {
  Network network(small("top1_straight_through"), 3, 16, 16, 4);
  for (const auto type : {at::kByte, at::kHalf, at::kDouble}) {
    try {
      network.forward(images().to(type));
      ADD_FAILURE() << c10::toString(type);
    } catch (const gw::ValueError& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find("expected images in Float"), std::string::npos) << text;
      EXPECT_NE(text.find(std::string("got ") + c10::toString(type)), std::string::npos) << text;
    }
  }
  network.to(at::kDouble);
  EXPECT_EQ(network.forward(images().to(at::kDouble)).logits.scalar_type(), at::kDouble);
}

TEST(NetworkPolicies, APlanOfOneImageTwiceIsRefused) {
  gw::RoutingPlan plan = gw::constant_plan(3, 2, 0);
  plan.token = at::tensor({0, 0, 2}, at::kLong);
  EXPECT_THROW(gw::index_buckets(plan, gw::Execution::kBucketed), gw::ValueError);
  EXPECT_THROW(gw::index_buckets(plan, gw::Execution::kMasked), gw::ValueError);
}

// Every policy is refused before a pass, or each image's answer is that of its pathway alone.
TEST(NetworkPolicies, EveryPolicyIsRightOrRefused) {
  int64_t right = 0;
  for (const auto& info : gw::Registry::instance().list("policies")) {
    const auto& part = info.name;
    std::shared_ptr<Network> network;
    try {
      network = std::make_shared<Network>(small({part, Json::object()}), 3, 16, 16, 4);
    } catch (const gw::ValueError&) {
      continue;
    }
    network->eval();
    const at::NoGradGuard no_grad;
    const auto out = network->forward(images());
    const auto expert = gw::chosen_experts(out.plans.front().plan);
    for (int64_t e = 0; e < 3; ++e) {
      gw::ForwardOptions forced;
      forced.forced_expert = e;
      const auto rows = expert.eq(e).nonzero().flatten();
      const auto alone = network->forward(images(), forced).logits;
      EXPECT_TRUE(at::allclose(out.logits.index_select(0, rows), alone.index_select(0, rows), 1e-5, 1e-6))
          << part;
    }
    ++right;
  }
  EXPECT_GE(right, 1);  // top1_straight_through, the default
}

at::Tensor answer(Network& network) {
  const at::NoGradGuard no_grad;
  return network.forward(images()).logits;
}

at::Tensor unfolded(Network& network) {  // with recorded parameters batch norm is not folded
  const at::AutoGradMode recorded(true);
  return network.forward(images()).logits.detach();
}

TEST(NetworkWeights, FoldedConvolutionsFollowEveryWriter) {
  for (const auto& writer : gw::test::weight_writers()) {
    Network network(small("top1_straight_through"), 3, 16, 16, 4);
    network.eval();
    const auto old = answer(network);
    writer.write(network.backbone());
    EXPECT_FALSE(at::allclose(old, unfolded(network), 1e-4, 1e-5))
        << writer.name << " changed nothing: this test would prove nothing";
    EXPECT_TRUE(at::allclose(answer(network), unfolded(network), 1e-4, 1e-5)) << writer.name;
    const gw::ops::FrozenParameters constant;
    EXPECT_TRUE(at::allclose(answer(network), unfolded(network), 1e-4, 1e-5))
        << writer.name << ", inside a scope";
  }
}

TEST(NetworkWeights, FoldedConvolutionsFollowRunningStatisticsAndType) {
  Network network(small("top1_straight_through"), 3, 16, 16, 4);
  network.eval();
  const auto old = answer(network);
  for (auto& b : network.buffers()) b.data().add_(0.25);
  EXPECT_FALSE(at::allclose(old, unfolded(network), 1e-4, 1e-5));
  EXPECT_TRUE(at::allclose(answer(network), unfolded(network), 1e-4, 1e-5));
  network.to(at::kDouble);
  const at::NoGradGuard no_grad;
  EXPECT_EQ(network.forward(images().to(at::kDouble)).logits.scalar_type(), at::kDouble);
}

TEST(NetworkWeights, InferenceModeServesAndTheNetworkStaysDifferentiable) {
  {
    const c10::InferenceMode guard;
    Network made_inside(small("top1_straight_through"), 3, 16, 16, 4);
    made_inside.eval();
    EXPECT_TRUE(at::isfinite(made_inside.forward(images()).logits).all().item<bool>());
  }
  Network network(small("top1_straight_through"), 3, 16, 16, 4);
  network.eval();
  {
    const c10::InferenceMode guard;
    network.forward(images());
  }
  const gw::ops::FrozenParameters frozen;
  const auto x = images().requires_grad_();
  network.forward(x).logits.sum().backward();
  EXPECT_GT(x.grad().abs().sum().item<double>(), 0);
}

TEST(NetworkWeights, TheFirstPassMayComeFromSeveralThreads) {
  for (int round = 0; round < 5; ++round) {
    Network network(small("top1_straight_through"), 3, 16, 16, 4);
    network.eval();
    std::vector<at::Tensor> answers(8);
    std::vector<std::thread> threads;
    for (auto& a : answers) threads.emplace_back([&] { a = answer(network); });
    for (auto& t : threads) t.join();
    for (const auto& a : answers) EXPECT_TRUE(a.equal(answer(network)));
  }
}

TEST(NetworkBatches, NoImagesAndOneImageGiveAsManyAnswers) {
  for (const auto& info : gw::Registry::instance().list("models")) {
    const auto& backbone = info.name;
    gw::NetworkOptions o;
    o.backbone = backbone, o.experts = 2, o.ratio = 0.25;
    Network network(o, 3, 32, 32, 4);
    for (const bool train : {true, false}) {
      network.train(train);
      for (const int64_t n : {0, 1}) {
        const auto x = gw::ops::uniform(gw::Rng(1), {n, 3, 32, 32}, 0, 1).requires_grad_(true);
        const auto logits = network.forward(x).logits;
        EXPECT_EQ(logits.sizes(), (std::vector<int64_t>{n, 4})) << backbone << " train " << train;
        auto inputs = network.parameters();
        inputs.push_back(x);
        const auto gradients =
            torch::autograd::grad({logits.square().sum()}, inputs, {}, false, false, /*allow_unused=*/true);
        double sum = 0;
        for (const auto& g : gradients) {
          if (!g.defined()) continue;
          EXPECT_TRUE(at::isfinite(g).all().item<bool>())
              << backbone << ", " << n << " images, train " << train;
          sum += g.abs().sum().item<double>();
        }
        EXPECT_TRUE(gradients.back().defined() && (sum > 0) == (n > 0))
            << backbone << ", " << n << " images, train " << train;
      }
    }
  }
}

}  // namespace gw::test::network_policies_cases
