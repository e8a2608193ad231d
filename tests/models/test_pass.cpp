// A network's pass is explicit: two threads run one network with taps, draws, pathways and modes of their
// own.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <thread>

#include "gatewright/models/network.h"
#include "gatewright/ops/random.h"

namespace gw::test::pass_cases {

at::Tensor images(uint64_t seed) { return gw::ops::uniform(gw::Rng(seed), {6, 3, 16, 16}, 0, 1); }

std::shared_ptr<gw::Network> network(const std::string& routing) {
  gw::NetworkOptions o;
  o.backbone = "small_cnn", o.experts = 3, o.ratio = 0.5, o.routing = routing, o.seed = 5;
  o.backbone_options = Json{{"width", 8}};
  o.gate = routing == "image" ? PartChoice(Json{{"part", "cnn"}, {"arch", "small"}, {"width", 2}})
                              : "pooled_linear";
  return std::make_shared<gw::Network>(o, 3, 16, 16, 4);
}

struct SiteTap : gw::RouteTap {
  std::vector<std::string> sites;
  gw::RoutingPlan decide(const gw::RouteQuery& query) override {
    sites.push_back(query.site);
    return query.chosen();
  }
};

class ExplicitPass : public testing::TestWithParam<std::string> {};

TEST_P(ExplicitPass, ThreadsShareANetworkWithoutMeeting) {
  const auto shared = network(GetParam());
  shared->train();  // the passes say that they evaluate
  constexpr int kPasses = 12;
  const auto run = [&](int who, gw::RouteTap* tap) {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> out;
    for (int i = 0; i < kPasses; ++i) {
      gw::ForwardOptions pass(gw::Rng(static_cast<uint64_t>(i)));
      pass.train = false, pass.tap = tap;
      if (who == 1 && i % 2 == 0) pass.forced_expert = i % 3;
      if (who == 1 && i % 2 == 1) pass.random_expert = i % 3;
      out.push_back(shared->forward(images(static_cast<uint64_t>(i)), pass).logits);
    }
    return out;
  };
  const std::vector<std::vector<at::Tensor>> alone{run(0, nullptr), run(1, nullptr)};
  std::vector<std::vector<at::Tensor>> together(2);
  SiteTap first, second;
  std::thread one([&] { together[0] = run(0, &first); }), two([&] { together[1] = run(1, &second); });
  one.join(), two.join();
  for (size_t who : {0, 1}) {
    for (size_t i = 0; i < kPasses; ++i)
      EXPECT_TRUE(together[who][i].equal(alone[who][i])) << who << " " << i;
  }
  EXPECT_EQ(first.sites.size(), kPasses * (GetParam() == "image" ? 1u : 3u));
  EXPECT_TRUE(second.sites.empty()) << "forced and drawn pathways are no decisions";
}

TEST_P(ExplicitPass, EvaluationByThePassLeavesTheStatisticsAlone) {
  const auto trained = network(GetParam()), evaluated = network(GetParam());
  trained->train(), evaluated->eval();
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> before;
  for (const auto& buffer : trained->buffers()) before.push_back(buffer.clone());
  gw::ForwardOptions pass;
  pass.train = false;
  const auto by_pass = trained->forward(images(1), pass).logits;
  EXPECT_TRUE(by_pass.equal(evaluated->forward(images(1)).logits));
  for (size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(before[i].equal(trained->buffers()[i])) << i;
  trained->cost();
  for (size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(before[i].equal(trained->buffers()[i])) << i;
  pass.train = true;
  evaluated->forward(images(1), pass);
  bool moved = false;
  for (size_t i = 0; i < before.size(); ++i) moved = moved || !before[i].equal(evaluated->buffers()[i]);
  EXPECT_TRUE(moved) << "a training pass moves the running statistics";
}

TEST_P(ExplicitPass, DecisionsNameTheirLayers) {
  const auto routed = network(GetParam());
  const auto plans = routed->forward(images(1)).plans;
  std::vector<std::string> sites;
  for (const auto& sited : plans) sites.push_back(sited.site);
  const std::vector<std::string> image{"router"}, layers{"conv1", "conv2", "conv3"};
  EXPECT_EQ(sites, GetParam() == "image" ? image : layers);
}

INSTANTIATE_TEST_SUITE_P(Routings, ExplicitPass, testing::Values("image", "layer"),
                         [](const auto& test) { return test.param; });

}  // namespace gw::test::pass_cases
