// What each objective trains, and TRADES against its formula.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include "gatewright/base/error.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/train/robust/trades.h"
#include "tests/train/small_run.h"

namespace gw::test::objectives_cases {

using gw::Json;

constexpr double kEpsilon = 0.1, kLr = 0.05;

std::shared_ptr<gw::Network> small_network(int64_t experts, const std::string& routing = "image") {
  auto config = small_config(small_objective("trades"), experts);
  gw::NetworkOptions options;
  gw::parse_options("network", config.network.json(), options);
  if (routing == "layer") options.routing = routing, options.gate = "pooled_linear";
  auto network = std::make_shared<gw::Network>(options, 1, 8, 8, 3);
  network->train();
  return network;
}

gw::Batch small_batch(int64_t n = 12) {
  gw::Batch batch;
  batch.fields = {{"image", gw::ops::uniform(gw::Rng(5), {n, 1, 8, 8}, 0, 1)},
                  {"label", at::arange(n, at::kLong).remainder(3)}};
  batch.index = at::arange(n, at::kLong);
  return batch;
}

/// Plain descent that calls `before` ahead of every update.
class Spy : public gw::Optimizer {
 public:
  Spy(const gw::Network& network, const std::vector<at::Tensor>& wanted, std::function<void()> before)
      : Optimizer(context(network, wanted)), before_(std::move(before)) {}
  std::set<std::string> updated;
  bool frozen = false;  ///< count the updates, move nothing

 protected:
  void update(size_t index, at::Tensor& value, const at::Tensor& gradient, double lr, int64_t) override {
    before_();
    updated.insert(parameters()[index].name);
    if (!frozen) value.add_(gradient, -lr);
  }

 private:
  static Context context(const gw::Network& network, const std::vector<at::Tensor>& wanted) {
    Context out;
    for (const auto& item : network.named_parameters()) {
      for (const auto& tensor : wanted) {
        if (tensor.is_same(item.value())) out.parameters.push_back({item.key(), item.value()});
      }
    }
    return out;
  }
  std::function<void()> before_;
};

std::vector<at::Tensor> copies(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> out;
  for (const auto& t : tensors) out.push_back(t.detach().clone());
  return out;
}

bool same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](const auto& x, const auto& y) { return at::equal(x, y); });
}

gw::StepReport step(const Json& objective, gw::Network& network, gw::Optimizer& experts,
                    gw::Optimizer* router = nullptr, double epsilon = kEpsilon) {
  const auto task = image_task_within(epsilon);
  const auto part = gw::make_chosen<gw::Objective>(objective, {*task});
  const auto batch = small_batch();
  gw::StepContext context{network, image_task(), batch, experts, router, kLr, gw::Rng(9)};
  return part->step(context);
}

/// Mean over rows of Σ p (log p − log q) and of −log p[label], from the logits, in double.
double kl_by_hand(const at::Tensor& reference, const at::Tensor& logits) {
  const auto p = at::softmax(reference.detach().to(at::kDouble), 1),
             q = at::softmax(logits.detach().to(at::kDouble), 1);
  return (p * (p / q).log()).sum().item<double>() / static_cast<double>(p.size(0));
}

double cross_entropy_by_hand(const at::Tensor& logits, const at::Tensor& labels) {
  const auto p = at::softmax(logits.detach().to(at::kDouble), 1);
  double total = 0;
  for (int64_t i = 0; i < p.size(0); ++i) total -= std::log(p[i][labels[i].item<int64_t>()].item<double>());
  return total / static_cast<double>(p.size(0));
}

TEST(Thor, IsRightTwiceAndAgrees) {
  const auto network = small_network(4);
  const auto batch = small_batch();
  const auto answer = [&](int64_t expert) {
    gw::ForwardOptions options;
    options.forced_expert = expert;
    return network->forward(batch.at("image"), options).logits;
  };
  std::set<std::pair<int64_t, int64_t>> pairs;
  for (uint64_t seed = 0; seed < 6; ++seed) {
    for (const double alpha : {0.0, 3.0}) {
      Spy spy(*network, network->parameters(), [] {});
      spy.frozen = true;
      const auto part = gw::make_part<gw::Objective>("thor", {{"consistency", alpha}}, {image_task()});
      gw::StepContext context{*network, image_task(), batch, spy, nullptr, kLr, gw::Rng(seed)};
      const auto report = part->step(context);
      // Which two were drawn shows in the loss: exactly one pair of experts explains it.
      int explained = 0;
      for (int64_t a = 0; a < 4; ++a) {
        for (int64_t b = a + 1; b < 4; ++b) {
          const auto p = answer(a), q = answer(b);
          const double agreement = (kl_by_hand(p, q) + kl_by_hand(q, p)) / 2;
          const double loss = cross_entropy_by_hand(p, batch.at("label")) +
                              cross_entropy_by_hand(q, batch.at("label")) + alpha * agreement;
          if (std::abs(loss - report.values.at("loss")) > 1e-5) continue;
          ++explained, pairs.insert({a, b});
          EXPECT_NEAR(report.values.at("disagreement"), agreement, 1e-6);
        }
      }
      EXPECT_EQ(explained, 1) << seed;
      EXPECT_TRUE(std::none_of(spy.updated.begin(), spy.updated.end(),
                               [](const auto& name) { return name.rfind("router.", 0) == 0; }));
    }
  }
  EXPECT_GT(pairs.size(), 2u);
  const auto dense = small_network(1);
  Spy spy(*dense, dense->parameters(), [] {});
  EXPECT_THROW(step({{"part", "thor"}}, *dense, spy), gw::ValueError);
}

// A pathway per layer: two distinct experts in each, drawn for each layer by itself.
TEST(Thor, DrawsForEachLayerByItself) {
  const auto network = small_network(4, "layer");
  const auto batch = small_batch();
  std::set<std::vector<int64_t>> pathways;
  int64_t mixed = 0;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    std::vector<at::Tensor> answers;
    std::vector<std::vector<int64_t>> experts;
    for (const int64_t place : {0, 1}) {
      gw::ForwardOptions options;
      options.rng = gw::Rng(seed).fork("objectives/thor");
      options.random_expert = place;
      const auto out = network->forward(batch.at("image"), options);
      answers.push_back(out.logits);
      std::vector<int64_t> pathway;
      for (const auto& plan : out.plans) {
        const auto expert = gw::expert_of_rows(plan.plan);
        EXPECT_EQ(expert.min().item<int64_t>(), expert.max().item<int64_t>());
        pathway.push_back(expert[0].item<int64_t>());
      }
      ASSERT_EQ(pathway.size(), 3u);
      mixed += std::set<int64_t>(pathway.begin(), pathway.end()).size() > 1 ? 1 : 0;
      pathways.insert(pathway), experts.push_back(pathway);
    }
    for (size_t layer = 0; layer < 3; ++layer) EXPECT_NE(experts[0][layer], experts[1][layer]) << layer;
    Spy spy(*network, network->backbone_parameters(), [] {});
    spy.frozen = true;
    const auto part = gw::make_part<gw::Objective>("thor", {{"consistency", 3.0}}, {image_task()});
    gw::StepContext context{*network, image_task(), batch, spy, nullptr, kLr, gw::Rng(seed)};
    const double agreement = (kl_by_hand(answers[0], answers[1]) + kl_by_hand(answers[1], answers[0])) / 2;
    EXPECT_NEAR(part->step(context).values.at("loss"),
                cross_entropy_by_hand(answers[0], batch.at("label")) +
                    cross_entropy_by_hand(answers[1], batch.at("label")) + 3 * agreement,
                1e-5);
  }
  EXPECT_GT(pathways.size(), 12u);  // of 64; 16 draws
  EXPECT_GT(mixed, 10);             // 15 of 16 on average are not one expert throughout
}

void alternating(const std::string& target) {
  const auto network = small_network(2);
  const auto router_before = copies(network->router_parameters()),
             backbone_before = copies(network->backbone_parameters());
  std::vector<at::Tensor> backbone_between, statistics_between;
  const auto statistics = [&] { return network->backbone().buffers(); };
  Spy experts(*network, network->backbone_parameters(), [&] {
    EXPECT_TRUE(same(network->router_parameters(), router_before))
        << "the expert step came after the router's, or changed it";
    statistics_between = copies(statistics());
  });
  Spy router(*network, network->router_parameters(), [&] {
    if (backbone_between.empty()) {
      EXPECT_TRUE(same(network->router_parameters(), router_before)) << "the expert step changed the router";
      backbone_between = copies(network->backbone_parameters());
    }
  });
  const auto report =
      step({{"part", "adv_moe"}, {"router_target", target}, {"steps", 2}}, *network, experts, &router);
  EXPECT_EQ(experts.updated.size(), backbone_before.size());
  EXPECT_EQ(router.updated.size(), router_before.size());
  EXPECT_FALSE(same(network->backbone_parameters(), backbone_before));
  EXPECT_FALSE(same(network->router_parameters(), router_before));
  EXPECT_TRUE(same(network->backbone_parameters(), backbone_between))
      << "the router step changed the experts";
  EXPECT_TRUE(same(statistics(), statistics_between))
      << "the router step moved the experts' batch statistics";
  for (const auto& module : network->modules()) EXPECT_TRUE(module->is_training()) << module->name();
  for (const char* value : {"loss", "router_loss", "clean_accuracy", "robust_accuracy", "flip_rate"})
    EXPECT_EQ(report.values.count(value), 1u) << value;
  ASSERT_EQ(report.load.size(), 2u);
  EXPECT_EQ(report.load[0] + report.load[1], 12);
}

TEST(Objectives, AdvMoeAlternatesWithLabels) { alternating("label_mod_n"); }
TEST(Objectives, AdvMoeAlternatesBilevel) { alternating("bilevel"); }

TEST(Objectives, AdvMoeLossesAreTheirFormulas) {
  const auto network = small_network(2), twin = small_network(2);
  Spy experts(*network, network->backbone_parameters(), [] {}),
      router(*network, network->router_parameters(), [] {});
  experts.frozen = true;  // so that the twin, which takes no step, sees the same network in the router step
  const auto report =
      step({{"part", "adv_moe"}, {"alpha", 3.0}, {"beta", 2.0}, {"steps", 2}}, *network, experts, &router);
  const auto batch = small_batch();
  const auto scores = twin->route(batch.at("image"));
  const auto attack = [&](const char* stream) {
    return gw::trades_images(*twin, batch.at("image"), scores, {}, kEpsilon,
                             gw::ForwardOptions(gw::Rng(9).fork(stream)));
  };
  gw::ForwardOptions with_scores;
  with_scores.scores = scores;
  const auto first = attack("expert_attack");
  const auto clean = twin->forward(batch.at("image"), with_scores), attacked = twin->forward(first);
  EXPECT_NEAR(
      report.values.at("loss"),
      cross_entropy_by_hand(clean.logits, batch.at("label")) + 2 * kl_by_hand(clean.logits, attacked.logits),
      1e-5);
  const auto other = twin->route(attack("router_attack"));
  EXPECT_NEAR(
      report.values.at("router_loss"),
      3 * cross_entropy_by_hand(scores, batch.at("label").remainder(2)) + 2 * kl_by_hand(scores, other),
      1e-5);
}

TEST(Objectives, AdvMoeRefusesADenseNetwork) {
  const auto network = small_network(1);
  Spy experts(*network, network->parameters(), [] {});
  try {
    step({{"part", "adv_moe"}}, *network, experts);
    FAIL() << "accepted";
  } catch (const gw::ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("use objectives/trades"), std::string::npos) << error.what();
  }
}

TEST(Objectives, TradesIsItsFormulaAndItsGradient) {
  for (const int64_t experts : {1, 2}) {
    const auto network = small_network(experts), twin = small_network(experts);
    Spy optimizer(*network, network->parameters(), [] {});
    const auto report = step({{"part", "trades"}, {"beta", 4.0}, {"steps", 3}}, *network, optimizer);
    gw::TradesOptions options;
    options.steps = 3, options.router_weight = 0;
    const auto batch = small_batch();
    const auto adversarial = gw::trades_images(*twin, batch.at("image"), {}, options, kEpsilon,
                                               gw::ForwardOptions(gw::Rng(9).fork("attack")));
    const auto clean = twin->forward(batch.at("image")).logits, attacked = twin->forward(adversarial).logits;
    EXPECT_NEAR(report.values.at("loss"),
                cross_entropy_by_hand(clean, batch.at("label")) + 4 * kl_by_hand(clean, attacked), 1e-5);
    const auto p = at::softmax(clean, 1), q = at::softmax(attacked, 1);
    const auto picked = p.gather(1, batch.at("label").unsqueeze(1)).log().mean();
    const auto loss = 4 * (p * (p / q).log()).sum() / 12 - picked;
    const auto gradients = torch::autograd::grad({loss}, twin->parameters(), {}, {}, false, true);
    for (size_t i = 0; i < gradients.size(); ++i) {
      const auto expected =
          gradients[i].defined() ? twin->parameters()[i] - kLr * gradients[i] : twin->parameters()[i];
      EXPECT_LT((network->parameters()[i] - expected).abs().max().item<double>(), 1e-5)
          << network->named_parameters().keys()[i];
    }
  }
}

TEST(Objectives, TradesWithoutItsTermOrItsBallIsNatural) {
  const auto natural = small_network(2);
  Spy optimizer(*natural, natural->parameters(), [] {});
  const double loss = step({{"part", "natural"}}, *natural, optimizer).values.at("loss");
  for (const auto& [beta, epsilon] : std::vector<std::pair<double, double>>{{0.0, kEpsilon}, {6.0, 0.0}}) {
    const auto network = small_network(2);
    Spy other(*network, network->parameters(), [] {});
    EXPECT_NEAR(
        step({{"part", "trades"}, {"beta", beta}}, *network, other, nullptr, epsilon).values.at("loss"), loss,
        1e-6);
    for (size_t i = 0; i < natural->parameters().size(); ++i) {
      EXPECT_LT((network->parameters()[i] - natural->parameters()[i]).abs().max().item<double>(), 1e-6) << i;
    }
  }
}

TEST(TradesImages, StayInTheBallAndRaiseTheDivergence) {
  const auto network = small_network(2);
  const auto images = small_batch().at("image");
  const auto scores = network->route(images);
  const auto divergence = [&](const gw::TradesOptions& options, bool of_scores) {
    const auto found =
        gw::trades_images(*network, images, scores, options, kEpsilon, gw::ForwardOptions(gw::Rng(3)));
    EXPECT_LE((found - images).abs().max().item<double>(), kEpsilon + 1e-6);
    EXPECT_GE(found.min().item<double>(), 0);
    EXPECT_LE(found.max().item<double>(), 1);
    EXPECT_FALSE(found.requires_grad());
    const gw::EvaluationScope evaluation(*network);
    const auto a = network->forward(images), b = network->forward(found);
    return of_scores ? kl_by_hand(scores, b.scores) : kl_by_hand(a.logits, b.logits);
  };
  gw::TradesOptions weak, strong, routed;
  weak.steps = 1, weak.step_size = 1e-4, weak.router_weight = 0;
  strong.steps = 10, strong.router_weight = 0;
  routed.steps = 10, routed.router_weight = 100;
  EXPECT_GT(divergence(strong, false), 2 * divergence(weak, false));
  EXPECT_GT(divergence(routed, true), divergence(strong, true));
}

TEST(TradesImages, RestoreTrainingModeAlsoAfterAnError) {
  const auto network = small_network(2);
  const auto images = small_batch().at("image");
  gw::trades_images(*network, images, {}, {}, kEpsilon, gw::ForwardOptions(gw::Rng(3)));
  for (const auto& module : network->modules()) EXPECT_TRUE(module->is_training()) << module->name();
  {
    const at::NoGradGuard no_grad;
    network->backbone_parameters().back().fill_(std::numeric_limits<float>::quiet_NaN());
  }
  EXPECT_THROW(gw::trades_images(*network, images, {}, {}, kEpsilon, gw::ForwardOptions(gw::Rng(3))),
               gw::NumericError);
  for (const auto& module : network->modules()) EXPECT_TRUE(module->is_training()) << module->name();
}

TEST(ParameterGradients, RefuseWhatIsNotFinite) {
  const auto p = at::zeros({2}).requires_grad_(true), unused = at::zeros({3}).requires_grad_(true);
  const auto good = gw::parameter_gradients((p * 3).sum(), {p, unused}, "loss");
  EXPECT_TRUE(at::equal(good[0], at::full({2}, 3.0)));
  EXPECT_FALSE(good[1].defined());
  const auto refusal = [&](const at::Tensor& loss) {
    try {
      gw::parameter_gradients(loss, {p}, "router loss");
    } catch (const gw::NumericError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_NE(refusal((p + 1).log().sum() / 0.0 * 0.0).find("the router loss is not a number"),
            std::string::npos);
  EXPECT_NE(refusal(p.sqrt().sum()).find("gradient of the router loss is not finite"), std::string::npos)
      << "the root's slope at 0";
}

}  // namespace gw::test::objectives_cases
