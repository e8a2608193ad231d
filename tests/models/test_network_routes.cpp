// Recording and replaying whole networks: one decision per image, and one per layer.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/models/network.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/recorder.h"
#include "gatewright/routing/replayer.h"
#include "tests/runs/scratch.h"

namespace gw::test::network_routes_cases {

using gw::Network;

std::shared_ptr<Network> network(const std::string& routing, const std::string& backbone = "small_cnn") {
  gw::NetworkOptions o;
  o.backbone = backbone, o.experts = 3, o.ratio = 0.5, o.routing = routing, o.seed = 5;
  o.backbone_options = Json{{"width", 8}};
  o.gate = routing == "image" ? PartChoice(Json{{"part", "cnn"}, {"arch", "small"}, {"width", 2}})
                              : "pooled_linear";
  auto made = std::make_shared<Network>(o, 3, 16, 16, 4);
  made->eval();
  return made;
}

at::Tensor images(uint64_t seed, int64_t n = 10) {
  return gw::ops::uniform(gw::Rng(seed), {n, 3, 16, 16}, 0, 1);
}

void scramble_router(Network& network) {
  const at::NoGradGuard no_grad;
  for (auto& p : network.router_parameters()) p.neg_().add_(0.3);
}

class NetworkRoutes : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(NetworkRoutes, ReplayGivesTheSameBitsWithAnotherRouter) {
  const Scratch scratch;
  const auto made = network(GetParam().first, GetParam().second);
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> logits;
  size_t sites = 0;
  auto recorder = std::make_unique<gw::RouteRecorder>(gw::RouteRecorder::Files{scratch / "routes.bin", ""},
                                                      gw::Json::object(), gw::RecordingOptions{});
  gw::ForwardOptions recorded;
  recorded.tap = recorder.get();
  for (uint64_t i = 0; i < 3; ++i) {
    const auto out = made->forward(images(i), recorded);
    sites = out.plans.size();
    logits.push_back(out.logits);
  }
  made->cost();  // a blank image is no decision
  auto forced = recorded;
  forced.forced_expert = 1;
  made->forward(images(0), forced);  // nor is a forced pathway
  recorder.reset();
  gw::RecordingReader reader(scratch / "routes.bin");
  size_t decisions = 0;
  for (auto item = reader.next(); item != gw::RecordingReader::Item::kEnd; item = reader.next())
    decisions += item == gw::RecordingReader::Item::kDecision ? 1 : 0;
  EXPECT_EQ(decisions, 3 * sites);
  EXPECT_EQ(reader.sites().size(), sites);

  scramble_router(*made);
  EXPECT_FALSE(made->forward(images(0)).logits.equal(logits[0]))
      << "the other router routes the same: this test would prove nothing";
  gw::RouteReplayer replayer(scratch / "routes.bin", gw::ReplayOptions{}), again(scratch / "routes.bin", {});
  gw::ForwardOptions replayed;
  replayed.tap = &replayer;
  for (uint64_t i = 0; i < 3; ++i)
    EXPECT_TRUE(made->forward(images(i), replayed).logits.equal(logits[i])) << i;
  replayed.tap = &again;
  EXPECT_THROW(made->forward(images(0, 9), replayed), gw::ValueError);
}

INSTANTIATE_TEST_SUITE_P(Routings, NetworkRoutes,
                         testing::Values(std::pair("image", "small_cnn"), std::pair("layer", "small_cnn"),
                                         std::pair("layer", "resnet18")),
                         [](const auto& test) {
                           return std::string(test.param.first) + "_" + test.param.second;
                         });

}  // namespace gw::test::network_routes_cases
