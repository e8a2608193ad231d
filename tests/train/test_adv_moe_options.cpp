// What adv_moe can do beside the published training, each against its formula: groups of labels, the attack
// on the pathway alone, strays.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

#include "gatewright/base/error.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/train/robust/trades.h"
#include "tests/support/refusal.h"
#include "tests/train/small_run.h"

namespace gw::test::adv_moe_options_cases {

using gw::Json;

constexpr double kEpsilon = 0.1, kBeta = 2;
constexpr int64_t kImages = 12, kLabels = 3;

std::shared_ptr<gw::Network> small_network(int64_t experts = 2) {
  gw::NetworkOptions options;
  gw::parse_options("network", small_config(small_objective("trades"), experts).network.json(), options);
  auto network = std::make_shared<gw::Network>(options, 1, 8, 8, kLabels);
  network->train();
  return network;
}

gw::Batch small_batch() {
  gw::Batch batch;
  batch.fields = {{"image", gw::ops::uniform(gw::Rng(5), {kImages, 1, 8, 8}, 0, 1)},
                  {"label", at::arange(kImages, at::kLong).remainder(kLabels)}};
  batch.index = at::arange(kImages, at::kLong);
  return batch;
}

/// Takes gradients and moves nothing: a twin without a step sees the same network in both steps.
class Still : public gw::Optimizer {
 public:
  Still(const gw::Network& network, const std::vector<at::Tensor>& wanted) : Optimizer(of(network, wanted)) {}

 protected:
  void update(size_t, at::Tensor&, const at::Tensor&, double, int64_t) override {}

 private:
  static Context of(const gw::Network& network, const std::vector<at::Tensor>& wanted) {
    Context out;
    for (const auto& item : network.named_parameters()) {
      for (const auto& tensor : wanted) {
        if (tensor.is_same(item.value())) out.parameters.push_back({item.key(), item.value()});
      }
    }
    return out;
  }
};

gw::StepReport step(Json options, int64_t experts = 2, uint64_t seed = 9) {
  options["part"] = "adv_moe", options["beta"] = kBeta;
  const auto task = gw::test::image_task_within(kEpsilon);
  const auto part = gw::make_chosen<gw::Objective>(options, {*task});
  const auto network = small_network(experts);
  Still on_experts(*network, network->backbone_parameters()),
      on_router(*network, network->router_parameters());
  const auto batch = small_batch();
  gw::StepContext context{*network, image_task(), batch, on_experts, &on_router, 0.05, gw::Rng(seed)};
  return part->step(context);
}

double kl(const at::Tensor& reference, const at::Tensor& logits) {
  return gw::mean_kl(reference.detach(), logits.detach()).item<double>();
}
double ce(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& weight = {}) {
  return at::cross_entropy_loss(logits.detach(), labels, weight).item<double>();
}

/// CE + β·KL on pathways that `scores` choose, the attack knowing of these alone.
double loss_on_pathways(const at::Tensor& scores) {
  const auto network = small_network();
  const auto batch = small_batch();
  const auto& x = batch.at("image");
  network->route(x);  // as in the step: it moves the router's statistics
  gw::ForwardOptions given(gw::Rng(9).fork("expert_attack"));
  given.scores = scores.detach();
  const auto attacked = gw::trades_images(*network, x, {}, {}, kEpsilon, given);
  const auto clean = network->forward(x, given).logits;
  return ce(clean, batch.at("label")) + kBeta * kl(clean, network->forward(attacked, given).logits);
}

at::Tensor clean_scores() { return small_network()->route(small_batch().at("image")).detach(); }

TEST(AdvMoeGroups, AreWhatTheRouterLearns) {
  const auto network = small_network();
  const auto batch = small_batch();
  const auto scores = network->route(batch.at("image"));
  const auto before = gw::trades_images(*network, batch.at("image"), scores, {}, kEpsilon,
                                        gw::ForwardOptions(gw::Rng(9).fork("expert_attack")));
  gw::ForwardOptions given;
  given.scores = scores;
  network->forward(batch.at("image"), given), network->forward(before);  // they move the batch statistics
  const auto images = gw::trades_images(*network, batch.at("image"), scores, {}, kEpsilon,
                                        gw::ForwardOptions(gw::Rng(9).fork("router_attack")));
  const double steady = kBeta * kl(scores, network->route(images));
  const auto target = at::tensor(std::vector<int64_t>{0, 1, 1}, at::kLong).index_select(0, batch.at("label"));
  const Json groups{{"router_target", "groups"}, {"groups", {{0}, {1, 2}}}, {"alpha", 3.0}};
  EXPECT_NEAR(step(groups).values.at("router_loss"), 3 * ce(scores, target) + steady, 1e-5);
  auto balanced = groups;
  balanced["balanced_groups"] = true;
  const auto weight = at::tensor(std::vector<float>{1.5, 0.75});
  EXPECT_NEAR(step(balanced).values.at("router_loss"), 3 * ce(scores, target, weight) + steady, 1e-5);
  const Json modulo{{"router_target", "groups"}, {"groups", {{0, 2}, {1}}}};
  EXPECT_EQ(step(modulo).values, step({{"router_target", "label_mod_n"}}).values)
      << "labels modulo 2 are groups";
}

TEST(AdvMoeGroups, MustBeTheLabelsOfTheNetwork) {
  const auto refused = [](const Json& options, int64_t experts = 2) {
    return refusal<gw::ValueError>([&] { step(options, experts); });
  };
  const auto groups = [](const Json& value) { return Json{{"router_target", "groups"}, {"groups", value}}; };
  expect_part(refused({{"router_target", "groups"}}), "objectives/adv_moe: expected \"groups\" as a list");
  expect_part(refused(groups("from")), "objectives/adv_moe: expected a list for \"groups\"");
  expect_part(refused(groups({{0}, {1}})), "expected all 3 labels in \"groups\", got 2");
  expect_part(refused(groups({{0}, {1, 2}}), 3), "as many groups of labels as experts, 3, got 2");
  expect_part(refused({{"groups", {{0}, {1, 2}}}}), "expected router_target = \"groups\" with groups");
  expect_part(refused({{"balanced_groups", true}}), "expected router_target = \"groups\"");
}

TEST(AdvMoePathwayAttack, IsSoughtAndJudgedOnTheCleanImagesPathway) {
  const Json pathway{{"expert_attack", "pathway"}};
  const auto report = step(pathway);
  EXPECT_NEAR(report.values.at("loss"), loss_on_pathways(clean_scores()), 1e-5);
  EXPECT_EQ(report.values.count("flip_rate"), 1u);
  // The router's term is no part of the search: its weight changes nothing, where it does in the joint
  // attack.
  const auto without = [](Json options) {
    options["router_weight"] = 0.0;
    return step(options).values.at("loss");
  };
  EXPECT_EQ(without(pathway), report.values.at("loss"));
  EXPECT_NE(without(Json::object()), step(Json::object()).values.at("loss"));
}

TEST(AdvMoeRouterAttack, ClimbsTheScoresAlone) {
  const Json pathway{{"expert_attack", "pathway"}};
  auto alone = pathway;
  alone["router_attack"] = "scores";
  const auto joint = step(pathway), scores = step(alone);
  EXPECT_EQ(joint.values.at("loss"), scores.values.at("loss")) << "the experts' step knows nothing of it";
  EXPECT_NE(joint.values.at("router_loss"), scores.values.at("router_loss"));
  // What it finds moves the scores further than what was found for the network's answer with little weight on
  // them.
  auto network = small_network();
  const auto x = small_batch().at("image"), clean = network->route(x).detach();
  gw::TradesOptions options;
  options.steps = 10, options.step_size = 0.02;
  const gw::ForwardOptions pass(gw::Rng(3));
  const auto moved = [&](const at::Tensor& images) { return kl(clean, network->route(images)); };
  const double direct = moved(gw::route_images(*network, x, clean, options, kEpsilon, pass));
  options.router_weight = 0;
  EXPECT_GT(direct, moved(gw::trades_images(*network, x, clean, options, kEpsilon, pass)));
  expect_part(refusal<gw::ValueError>([] {
                step({{"router_attack", "scores"}, {"router_target", "bilevel"}});
              }),
              "expected router_attack = \"joint\" with router_target = \"bilevel\"");
}

TEST(AdvMoeStrays, ChangePlacesWithTheirRoute) {
  const auto scores = clean_scores();
  const auto others = 1 - at::one_hot(scores.argmax(1), 2).to(at::kFloat);
  const Json all{{"expert_attack", "pathway"}, {"strays", 1.0}};
  EXPECT_NEAR(step(all).values.at("loss"), loss_on_pathways(others), 1e-5);
  const int64_t first = scores.argmax(1).eq(0).sum().item<int64_t>();
  EXPECT_EQ(step({{"expert_attack", "pathway"}}).load, (std::vector<int64_t>{first, kImages - first}));
  EXPECT_EQ(step(all).load, (std::vector<int64_t>{kImages - first, first}));
}

// With three experts a stray goes to either of the others, and a share goes astray that is drawn anew each
// step.
TEST(AdvMoeStrays, AreDrawnAndSpread) {
  std::vector<int64_t> sum(3, 0);
  std::set<double> losses;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Json all{{"expert_attack", "pathway"}, {"strays", 1.0}},
        some{{"expert_attack", "pathway"}, {"strays", 0.3}};
    const auto load = step(all, 3, seed).load;
    for (size_t e = 0; e < 3; ++e) sum[e] += load[e];
    losses.insert(step(some, 3, seed).values.at("loss"));
    EXPECT_EQ(step(some, 3, seed).values, step(some, 3, seed).values);
  }
  const auto clean = step({{"expert_attack", "pathway"}}, 3).load;
  for (size_t e = 0; e < 3; ++e) {
    // The images of the other experts, half of them each: ±4 standard deviations of 240 draws.
    const double expected = 10.0 * static_cast<double>(kImages - clean[e]);
    EXPECT_NEAR(static_cast<double>(sum[e]), expected, 31) << e;
  }
  EXPECT_GT(losses.size(), 18u);
  expect_part(refusal<gw::ValueError>([] {
                step({{"strays", 0.2}});
              }),
              "expected expert_attack = \"pathway\" with strays");
}

}  // namespace gw::test::adv_moe_options_cases
