// Routes that provably stand: a hand-made router whose radius is known, evaluations, and a gate that lies.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/ops/random.h"
#include "gatewright/train/robust/certificate.h"
#include "gatewright/train/robust/evaluate.h"
#include "tests/train/small_run.h"

namespace gw::test::certificate_cases {

using gw::Json;

gw::TrainConfig config_with(const Json& gate, int64_t experts = 2) {
  auto config = small_config(small_objective("adv_moe"), experts);
  auto network = config.network.json();
  network["gate"] = gate;
  config.network = network;
  return config;
}

const Json kLinear{{"part", "certified"}, {"layers", 0}, {"grid", 8}};

std::shared_ptr<gw::Network> network_of(const gw::TrainConfig& config, const gw::TaskData& data) {
  auto network = gw::make_network(config, data);
  network->eval();
  return network;
}

const gw::TaskData& data() {
  static const auto loaded = gw::load_data(config_with(kLinear));
  return loaded;
}

// s_0 − s_1 = w·x + b on pixels far from 0 and 1: the radius is |w·x + b| / ‖w‖₁. The worst move flips the
// route just beyond it, and no image drawn within it does.
TEST(Certificate, OfALinearRouterIsTheDistanceToItsBorder) {
  const auto network = network_of(config_with(kLinear), data());
  const at::NoGradGuard no_grad;
  const auto shape = network->shape();
  const int64_t pixels = shape.channels * shape.height * shape.width;
  const auto w = gw::ops::normal(gw::Rng(5), {2, pixels}, 0, 1), b = at::tensor({0.3, -0.2}, at::kFloat);
  network->router()->named_parameters()["head_weight"].copy_(w);
  network->router()->named_parameters()["head_bias"].copy_(b);
  const auto x = gw::ops::uniform(gw::Rng(6), {40, shape.channels, shape.height, shape.width}, 0.4, 0.6);
  const auto d = (w[0] - w[1]).to(at::kDouble);
  const auto lead = at::matmul(x.flatten(1).to(at::kDouble), d) + 0.5;
  const auto exact = lead.abs() / d.abs().sum();
  const auto radii = gw::certified_radii(*network, x);
  ASSERT_LT(exact.max().item<double>(), 0.4) << "pixels must not meet their ends";
  EXPECT_TRUE(radii.le(exact).all().item<bool>());
  EXPECT_TRUE(radii.ge(exact * 0.9995 - 1e-5).all().item<bool>());
  const auto route = gw::sole_experts(*network, x);
  EXPECT_TRUE(route.equal(lead.lt(0).to(at::kLong)));
  const auto towards = (d.sign() * lead.sign().neg().unsqueeze(1)).view(x.sizes());
  const auto moved = [&](double share, const at::Tensor& move) {
    return gw::sole_experts(*network, (x + (exact * share + 2e-6).view({-1, 1, 1, 1}) * move).to(at::kFloat));
  };
  EXPECT_TRUE(moved(1.001, towards).ne(route).all().item<bool>());
  const auto inside = at::where(exact.gt(0.01), exact, at::zeros_like(exact));
  EXPECT_TRUE(gw::certified_routes(*network, x, inside * 0.999).all().item<bool>());
  EXPECT_FALSE(gw::certified_routes(*network, x, exact * 1.001 + 1e-6).any().item<bool>());
  const auto worst = gw::sole_experts(
      *network, (x + (exact * 0.999 - 2e-6).clamp_min(0).view({-1, 1, 1, 1}) * towards).to(at::kFloat));
  EXPECT_TRUE(worst.eq(route).all().item<bool>());
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const auto move = gw::ops::uniform(gw::Rng(seed), x.sizes(), -1, 1).sign();
    EXPECT_TRUE(moved(0.99, move).eq(route).logical_or(exact.lt(1e-3)).all().item<bool>());
  }
}

TEST(Certificate, AskedOfARouterWithoutOneIsRefusedBeforeTraining) {
  auto config = small_config(small_objective("adv_moe"));
  config.evaluation = Json{{"certify", true}};
  const auto refused = [](const auto& call, const std::string& words) {
    try {
      call();
      ADD_FAILURE() << "accepted; expected: " << words;
    } catch (const gw::ValueError& error) {
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  };
  refused([&] { gw::check_config(config); }, "got a gate without bounds; set network.gate");
  refused([&] { gw::Trainer{config}; }, "got a gate without bounds; set network.gate");
  auto dense = small_config(small_objective("trades"), 1);
  dense.evaluation = Json{{"certify", true}};
  refused([&] { gw::check_config(dense); }, "got no router of whole images");
  const auto plain = network_of(small_config(small_objective("adv_moe")), data());
  refused([&] { gw::certified_radii(*plain, data().test.at("image").to(at::kFloat) / 255); },
          "without bounds");
  auto certified = config_with(kLinear);
  certified.evaluation = Json{{"certify", true}};
  EXPECT_NO_THROW(gw::check_config(certified));
  certified.network = [&] {
    auto table = certified.network.json();
    table["policy"] = "random";
    return table;
  }();
  refused([&] { gw::check_config(certified); }, "certificate: expected a router that knows");
}

gw::EvaluationConfig certifying() {
  gw::EvaluationConfig config;
  config.certify = true, config.batch = 10;
  config.attacks = {"router", "joint", "noise"};
  config.attack_options = Json{{"router", {{"steps", 10}, {"step_size", 0.05}}}};
  return config;
}

TEST(Certificate, AnAttackThatChangesACertifiedRouteIsAnError) {
  const auto lying = network_of(config_with("lying_gate"), data());
  const auto refused = [&](double epsilon) {
    gw::evaluate(*lying, data().test, certifying(), epsilon, gw::Rng(1));
  };
  EXPECT_NO_THROW(refused(0));
  try {
    refused(0.3);
    FAIL() << "no attack changed a route: this test would prove nothing";
  } catch (const gw::InternalError& error) {
    EXPECT_NE(std::string(error.what()).find("expected certified routes to stand"), std::string::npos)
        << error.what();
  }
}

// A run that trains with bounds ends, reports what it certifies, and no attack contradicts. On data this
// small the router may send all images to one expert: how much bounds teach is not shown here.
TEST(Certificate, ARunTrainedWithBoundsIsCertifiedAndHolds) {
  const double epsilon = 0.02;
  const auto certified_after = [&](const char* router_attack) {
    Scratch scratch;
    auto config = config_with(Json{{"part", "certified"}, {"layers", 1}, {"width", 4}, {"grid", 4}});
    config.objective =
        Json{{"part", "adv_moe"}, {"steps", 1}, {"beta", 1.0}, {"router_attack", router_attack}};
    config.epochs = 30, config.schedule = Json{{"lr", 0.2}},
    config.task = attacked_images({{"validation_steps", 0}, {"epsilon", epsilon}});
    gw::Trainer trainer(config);
    gw::TrainObserver silent;
    trainer.run({scratch.path()}, silent);
    return gw::evaluate(trainer.network(), trainer.data().test, certifying(), epsilon, gw::Rng(1));
  };
  const auto bounds = certified_after("bounds"), scores = certified_after("scores");
  ASSERT_TRUE(bounds.certified && scores.certified);
  EXPECT_GE(bounds.certified->routes, scores.certified->routes);
  EXPECT_GT(bounds.certified->routes, 0.2);
  EXPECT_LE(bounds.flip_rate, 1 - bounds.certified->routes + 1e-12);
  const auto json = gw::evaluation_json(bounds);
  EXPECT_EQ(json.at("certified").at("routes"), bounds.certified->routes);
}

TEST(Certificate, BoundsAreRefusedOfAGateThatHasNone) {
  auto config = small_config(small_objective("adv_moe"));
  config.objective = Json{{"part", "adv_moe"}, {"steps", 1}, {"router_attack", "bounds"}};
  Scratch scratch;
  gw::Trainer trainer(config);
  gw::TrainObserver silent;
  EXPECT_THROW(trainer.run({scratch.path()}, silent), gw::ValueError);
  config.objective = Json{{"part", "adv_moe"}, {"router_target", "bilevel"}, {"router_attack", "bounds"}};
  EXPECT_THROW(gw::Trainer{config}, gw::ValueError);
}

}  // namespace gw::test::certificate_cases
