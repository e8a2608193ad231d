// Recording and replaying a mixture layer.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/mixture/mixture.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/recorder.h"
#include "gatewright/routing/replayer.h"
#include "tests/runs/scratch.h"

namespace gw::test::mixture_routes_cases {

std::shared_ptr<gw::Mixture> mixture(const gw::Json& policy) {
  const auto layer = gw::Mixture::from_json({{"experts", 8},
                                             {"in", 6},
                                             {"seed", 3},
                                             {"policy", policy},
                                             {"bank", {{"part", "mlp"}, {"hidden", 5}}}});
  layer->eval();
  return layer;
}

void scramble(gw::Mixture& layer) {
  const at::NoGradGuard no_grad;
  for (auto& p : layer.gate().parameters()) p.neg_().add_(0.01);
}

at::Tensor tokens(uint64_t seed) { return gw::ops::normal(gw::Rng(seed), {40, 6}, 0, 1); }

TEST(MixtureRoutes, ReplayGivesTheSameBitsWithAnotherRouter) {
  const Scratch scratch;
  gw::RecordingOptions options;
  options.weights = true;
  const auto layer = mixture({{"part", "softmax_top_k"}, {"k", 3}, {"renormalise", true}});
  std::vector<at::Tensor> answers;
  layer->set_tap(std::make_shared<gw::RouteRecorder>(
                     gw::RouteRecorder::Files{scratch / "routes.bin", scratch / "routes.jsonl"},
                     gw::Json::object(), options),
                 "block 0");
  for (uint64_t i = 0; i < 3; ++i) answers.push_back(layer->forward(tokens(i)).y);
  layer->set_tap(nullptr, "");  // closes the recording
  scramble(*layer);
  EXPECT_FALSE(layer->forward(tokens(0)).y.equal(answers[0]))
      << "the other router routes the same: this test would prove nothing";
  gw::ReplayOptions recorded;
  recorded.weights = "recorded";
  layer->set_tap(std::make_shared<gw::RouteReplayer>(scratch / "routes.bin", recorded), "block 0");
  for (uint64_t i = 0; i < 3; ++i) EXPECT_TRUE(layer->forward(tokens(i)).y.equal(answers[i])) << i;
  EXPECT_THROW(layer->forward(tokens(3)), gw::ValueError);  // nobody recorded a fourth
  layer->set_tap(std::make_shared<gw::RouteReplayer>(scratch / "routes.bin", recorded), "block 1");
  EXPECT_THROW(layer->forward(tokens(0)), gw::ValueError);
}

TEST(MixtureRoutes, AnUntouchedRouterIsReplayedToTheBit) {
  const Scratch scratch;
  const auto layer = mixture({{"part", "top1_straight_through"}});
  layer->set_tap(std::make_shared<gw::RouteRecorder>(gw::RouteRecorder::Files{scratch / "routes.bin", ""},
                                                     gw::Json::object(), gw::RecordingOptions{}),
                 "block");
  const auto gradients = [&] {
    const auto out = layer->forward(tokens(0));
    auto all = torch::autograd::grad({out.y.square().sum()}, layer->parameters());
    all.push_back(out.y);
    return all;
  };
  const auto expected = gradients();
  layer->set_tap(nullptr, "");  // closes the recording
  layer->set_tap(std::make_shared<gw::RouteReplayer>(scratch / "routes.bin", gw::ReplayOptions{}), "block");
  const auto got = gradients();
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(got[i].equal(expected[i])) << i;
}

}  // namespace gw::test::mixture_routes_cases
