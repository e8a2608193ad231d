// The evaluation of a trained network.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/error.h"
#include "gatewright/train/robust/evaluate.h"
#include "tests/train/small_run.h"

namespace gw::test::evaluate_cases {

using gw::Json;

constexpr double kEpsilon = 0.15;

/// A network that knows its classes well enough to lose something under attack.
gw::Trainer& trained() {
  static Scratch scratch;
  static auto trainer = [] {
    auto config = small_config(small_objective("adv_moe"));
    config.objective = Json{{"part", "adv_moe"}, {"steps", 1}, {"beta", 1.0}};
    config.epochs = 8, config.task = attacked_images({{"validation_steps", 0}});
    auto made = std::make_unique<gw::Trainer>(config);
    gw::TrainObserver silent;
    made->run({scratch.path()}, silent);
    return made;
  }();
  return *trainer;
}

gw::EvaluationConfig with(std::vector<std::string> attacks) {
  gw::EvaluationConfig config;
  config.attacks = std::move(attacks);
  config.attack_options = Json{{"joint", {{"steps", 4}, {"step_size", 0.06}}},
                               {"pgd", {{"steps", 4}, {"step_size", 0.06}}},
                               {"router", {{"steps", 4}}}};
  config.batch = 10;
  return config;
}

gw::NetworkEvaluation measure(gw::Network& network, const gw::EvaluationConfig& config,
                              double epsilon = kEpsilon) {
  return gw::evaluate(network, trained().data().test, config, epsilon, gw::Rng(1));
}

int64_t total(const std::vector<std::vector<int64_t>>& table) {
  int64_t sum = 0;
  for (const auto& row : table) {
    for (const int64_t n : row) sum += n;
  }
  return sum;
}

TEST(Evaluate, WorstCaseIsBelowEveryAttackAndAllIsCounted) {
  auto& network = trained().network();
  const auto e = measure(network, with({"joint", "pgd", "router", "noise"}));
  EXPECT_EQ(e.images, 24);
  EXPECT_GT(e.clean_accuracy, 0.5) << "three classes: the network has learned nothing";
  ASSERT_EQ(e.robust_accuracy.size(), 5u);
  const double worst = e.robust_accuracy.at(gw::kWorstCase);
  for (const auto& [name, held] : e.robust_accuracy) EXPECT_LE(worst, held) << name;
  EXPECT_LT(worst, e.clean_accuracy);
  EXPECT_EQ(total(e.affinity_clean), 24);
  EXPECT_EQ(total(e.affinity_attacked), 24);
  ASSERT_EQ(e.forced_accuracy.size(), 2u);
  EXPECT_NEAR(e.clean_accuracy, gw::clean_accuracy(network, trained().data().test, 7), 1e-12);
  const auto json = gw::evaluation_json(e);
  EXPECT_EQ(json.at("robust_accuracy").at("worst_case"), worst);
}

// An attack beside the worst case is measured on the same images and changes nothing else; named among the
// attacks it counts like any other, so that the worst case can only fall.
TEST(Evaluate, AnAttackBesideTheWorstCaseIsMeasuredAndDoesNotCount) {
  auto& network = trained().network();
  const auto without = measure(network, with({"noise"}));
  auto config = with({"noise"});
  config.beside = {"pgd", "published"};
  const auto e = measure(network, config);
  ASSERT_EQ(e.robust_accuracy.size(), 4u);
  EXPECT_LT(e.robust_accuracy.at("pgd"), e.robust_accuracy.at("noise"));
  EXPECT_EQ(e.robust_accuracy.at(gw::kWorstCase), e.robust_accuracy.at("noise"));
  EXPECT_EQ(e.robust_accuracy.at("noise"), without.robust_accuracy.at("noise"));
  EXPECT_EQ(e.flip_rate, without.flip_rate);
  const auto counted = measure(network, with({"noise", "pgd", "published"}));
  EXPECT_EQ(counted.robust_accuracy.at("published"), e.robust_accuracy.at("published"));
  EXPECT_LE(counted.robust_accuracy.at(gw::kWorstCase), counted.robust_accuracy.at("pgd"));
  config.attacks.clear();
  EXPECT_EQ(measure(network, config).robust_accuracy.count(gw::kWorstCase), 0u) << "nothing counts";
  config.attacks = {"pgd"};
  EXPECT_THROW(measure(network, config), gw::ValueError) << "pgd twice";
}

TEST(Evaluate, IsDeterministic) {
  const auto a = gw::evaluation_json(measure(trained().network(), with({"joint", "pgd"}))),
             b = gw::evaluation_json(measure(trained().network(), with({"joint", "pgd"})));
  EXPECT_EQ(a, b);
  EXPECT_FALSE(trained().network().is_training());
}

TEST(Evaluate, ABallOfRadiusZeroFoolsNobody) {
  const auto e = measure(trained().network(), with({"joint", "pgd"}), 0);
  for (const auto& [name, held] : e.robust_accuracy) EXPECT_EQ(held, e.clean_accuracy) << name;
  EXPECT_EQ(e.flip_rate, 0);
  EXPECT_EQ(e.affinity_clean, e.affinity_attacked);
}

TEST(Evaluate, AConstantRouterNeverFlips) {
  const auto network = gw::make_network(trained().config(), trained().data());
  bool weight = false, bias = false;
  const at::NoGradGuard no_grad;
  for (const auto& item : network->named_parameters()) {
    if (item.key() == "router.head_weight") weight = true, item.value().zero_();
    if (item.key() == "router.head_bias") bias = true, item.value().copy_(at::arange(2, at::kFloat));
  }
  ASSERT_TRUE(weight && bias);
  const auto e = measure(*network, with({"joint"}), 0.3);
  EXPECT_EQ(e.flip_rate, 0);
  EXPECT_EQ(e.load_entropy, 0);
  EXPECT_EQ(e.affinity_clean[0], (std::vector<int64_t>{0, 0, 0}));
  EXPECT_EQ(e.affinity_clean[1], (std::vector<int64_t>{8, 8, 8}));
  EXPECT_EQ(e.forced_accuracy[1], e.clean_accuracy);
}

/// Both experts answer one class, whatever the image: which one, the route alone decides.
std::shared_ptr<gw::Network> answering_by_route(int64_t first, int64_t second) {
  auto config = trained().config();
  config.network = [&] {
    auto table = config.network.json();
    table["private"] = {"head"};
    return table;
  }();
  const auto network = gw::make_network(config, trained().data());
  const at::NoGradGuard no_grad;
  for (const auto& item : network->named_parameters()) {
    if (item.key() == "backbone.head.weight") item.value().zero_();
    if (item.key() == "backbone.head.bias") {
      item.value().zero_();
      item.value()[first] = 1, item.value()[3 + second] = 1;
    }
  }
  // The router that was trained, so that an attack on it can succeed.
  auto& from = trained().network();
  for (const auto& item : network->named_parameters()) {
    if (item.key().rfind("router.", 0) == 0) item.value().copy_(from.named_parameters()[item.key()]);
  }
  for (const auto& item : network->named_buffers()) {
    if (item.key().rfind("router.", 0) == 0) item.value().copy_(from.named_buffers()[item.key()]);
  }
  return network;
}

TEST(Evaluate, ImagesLostByTheirRoutesAreThoseThatHeldRoutesWouldSave) {
  auto attack = with({"router"});
  attack.attack_options = Json{{"router", {{"steps", 10}}}};
  // Where both experts answer alike no route matters; where they do not, a lost image is a changed route.
  EXPECT_EQ(measure(*answering_by_route(1, 1), attack, 0.5).route_loss_rate, 0);
  const auto e = measure(*answering_by_route(0, 1), attack, 0.5);
  EXPECT_GT(e.route_loss_rate, 0);
  EXPECT_LE(e.route_loss_rate, e.flip_rate);
  // Some images were wrong before and right on the other route.
  EXPECT_GE(e.route_loss_rate, e.clean_accuracy - e.robust_accuracy.at("router"))
      << "only routes can be lost here";
}

TEST(Evaluate, ADenseNetworkHasNoRoutes) {
  const auto network = gw::make_network(small_config(small_objective("trades"), 1), trained().data());
  const auto e = measure(*network, with({"joint"}));
  EXPECT_EQ(e.flip_rate, 0);
  EXPECT_EQ(e.route_loss_rate, 0);
  EXPECT_TRUE(e.affinity_clean.empty() && e.affinity_attacked.empty() && e.forced_accuracy.empty());
  EXPECT_EQ(e.load_entropy, 1);
}

TEST(Evaluate, TakesTheFirstImagesAndStopsWhereTheTickThrows) {
  auto config = with({});
  config.images = 15;
  const auto e = measure(trained().network(), config);
  EXPECT_EQ(e.images, 15);
  EXPECT_TRUE(e.robust_accuracy.empty());
  std::vector<int64_t> done;
  const auto tick = [&](int64_t n, int64_t all) {
    EXPECT_EQ(all, 15);
    done.push_back(n);
    if (n == 10 && done.size() == 1) return;
    throw gw::Interrupted("enough");
  };
  EXPECT_THROW(gw::evaluate(trained().network(), trained().data().test, config, kEpsilon, gw::Rng(1), tick),
               gw::Interrupted);
  EXPECT_EQ(done, (std::vector<int64_t>{10, 15}));
}

TEST(SampleImages, AreBytesWithTheirAnswers) {
  const auto s = gw::sample_images(trained().network(), trained().data().test, 5, kEpsilon, gw::Rng(1));
  EXPECT_TRUE(at::equal(s.clean, trained().data().test.at("image").narrow(0, 0, 5)))
      << "pixels survive the way through floats";
  EXPECT_LE((s.clean.to(at::kInt) - s.attacked.to(at::kInt)).abs().max().item<int>(), 39)
      << "0.15 of 255, rounded";
  EXPECT_EQ(s.label, (std::vector<int64_t>{0, 1, 2, 0, 1}));
  EXPECT_EQ(s.route_clean.size(), 5u);
}

}  // namespace gw::test::evaluate_cases
