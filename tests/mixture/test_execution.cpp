// Executors are ways to the same answer and the same gradients, and what a pass says holds for that pass
// alone.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <thread>

#include "gatewright/mixture/mixture.h"
#include "gatewright/ops/random.h"
#include "tests/routing/parts.h"

namespace gw::test::execution_cases {

using gw::Json;

std::shared_ptr<gw::Mixture> layer_of(const std::string& execution, const std::string& policy) {
  auto layer = gw::Mixture::from_json({{"experts", 4},
                                       {"in", 6},
                                       {"seed", 2},
                                       {"execution", execution},
                                       {"policy", {{"part", policy}}},
                                       {"bank", {{"part", "mlp"}, {"hidden", 5}}}});
  layer->to(at::kDouble);
  return layer;
}

at::Tensor tokens(int64_t n, uint64_t seed = 1) {
  return gw::ops::normal(gw::Rng(seed), {n, 6}, 0, 1).to(at::kDouble);
}

TEST(Execution, GradientsAreThoseOfTheFusedKernel) {
  for (const std::string policy : {"softmax_top_k", "top_k_softmax", "expert_choice", "dense_softmax"}) {
    std::vector<std::vector<at::Tensor>> gradients;
    for (const char* execution : {"fused", "bucketed", "masked"}) {
      const auto layer = layer_of(execution, policy);
      auto wanted = layer->parameters();
      wanted.push_back(tokens(11).requires_grad_());
      const auto loss = layer->forward(wanted.back(), gw::Rng(3)).y.square().sum();
      gradients.push_back(torch::autograd::grad({loss}, wanted));
    }
    for (size_t other : {1, 2}) {
      for (size_t i = 0; i < gradients[0].size(); ++i) {
        EXPECT_GT(gradients[0][i].abs().max().item<double>(), 0) << policy << ", parameter " << i;
        EXPECT_LT((gradients[0][i] - gradients[other][i]).abs().max().item<double>(), 1e-10)
            << policy << ", executor " << other << ", parameter " << i;
      }
    }
  }
}

TEST(Execution, AnUnknownOneIsRefusedByName) {
  try {
    layer_of("bucket", "softmax_top_k");
    ADD_FAILURE() << "accepted";
  } catch (const gw::ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("bucketed"), std::string::npos) << error.what();
  }
}

TEST(Pass, ForcedAndDrawnRoutesNeedNoRouter) {
  const auto layer = layer_of("fused", "softmax_top_k");
  const auto x = tokens(5);
  gw::Pass pass;
  pass.forced_expert = 2;
  EXPECT_TRUE(at::allclose(layer->forward(x, {}, pass).y, layer->bank().run_one(x, 2)));
  pass.forced_expert = -1, pass.random_expert = 0;
  std::set<int64_t> drawn;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    pass.rng = gw::Rng(seed);
    const auto plan = layer->forward(x, {}, pass).plan;
    drawn.insert(gw::chosen_experts(plan)[0].item<int64_t>());
    EXPECT_EQ(plan.rows_of(gw::chosen_experts(plan)[0].item<int64_t>()), 5);
  }
  EXPECT_EQ(drawn.size(), 4u);
}

TEST(Pass, ItsModeGoesBeforeTheModules) {
  const auto layer = layer_of("fused", "noisy_top_k");  // noise while training
  gw::Pass training, evaluation;
  training.train = true, evaluation.train = false;
  const auto x = tokens(64);
  layer->eval();
  const auto own = layer->forward(x, {}, gw::Pass{}).y;
  EXPECT_TRUE(layer->forward(x, {}, evaluation).y.equal(own));
  const auto noisy = layer->forward(x, {}, training).y;
  EXPECT_FALSE(noisy.equal(own));
  layer->train();
  EXPECT_TRUE(layer->forward(x, {}, evaluation).y.equal(own));
  EXPECT_TRUE(layer->forward(x, {}, training).y.equal(noisy));
}

/// Counts decisions and remembers their purposes.
struct CountingTap : gw::RouteTap {
  int64_t decisions = 0, foreign = 0;
  gw::RoutePurpose mine;
  explicit CountingTap(gw::RoutePurpose purpose) : mine(purpose) {}
  gw::RoutingPlan decide(const gw::RouteQuery& query) override {
    ++decisions;
    foreign += query.purpose == mine ? 0 : 1;
    return query.chosen();
  }
};

TEST(Pass, TwoThreadsRunOneLayerWithTapsDrawsAndModesOfTheirOwn) {
  const auto layer = layer_of("fused", "noisy_top_k");
  constexpr int kPasses = 50;
  const auto answers = [&](int who, gw::RouteTap* tap) {
    std::vector<at::Tensor> out;
    const at::NoGradGuard no_grad;
    for (int i = 0; i < kPasses; ++i) {
      gw::Pass pass;
      pass.rng = gw::Rng(static_cast<uint64_t>(100 * who + i)), pass.train = who == 0;
      pass.purpose = who == 0 ? gw::RoutePurpose::kClean : gw::RoutePurpose::kAttacked, pass.tap = tap;
      out.push_back(layer->forward(tokens(7, static_cast<uint64_t>(i)), {}, pass).y);
    }
    return out;
  };
  const std::vector<std::vector<at::Tensor>> alone{answers(0, nullptr), answers(1, nullptr)};
  std::vector<std::vector<at::Tensor>> together(2);
  CountingTap first(gw::RoutePurpose::kClean), second(gw::RoutePurpose::kAttacked);
  std::thread one([&] { together[0] = answers(0, &first); }), two([&] { together[1] = answers(1, &second); });
  one.join(), two.join();
  for (size_t who : {0, 1}) {
    for (size_t i = 0; i < kPasses; ++i)
      EXPECT_TRUE(together[who][i].equal(alone[who][i])) << who << " " << i;
  }
  EXPECT_EQ(first.decisions, kPasses);
  EXPECT_EQ(second.decisions, kPasses);
  EXPECT_EQ(first.foreign + second.foreign, 0);
}

}  // namespace gw::test::execution_cases
