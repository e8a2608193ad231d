// Prices on gaps between two groups: by hand, with their gradients, and slopes against differences.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/train/slope.h"
#include "gatewright/train/trainer.h"
#include "gatewright/train/watched_task.h"
#include "tests/support/refusal.h"

namespace gw::test::fair_cases {

std::shared_ptr<Task> task(const Json& options) {
  TrainConfig config;
  Json choice{{"part", "fair_classification"}};
  choice.update(options);
  config.task = choice;
  return make_task(config);
}

Batch batch(const at::Tensor& x, const std::vector<int64_t>& label, const std::vector<int64_t>& group) {
  Batch out;
  out.fields = {{"x", x}, {"label", at::tensor(label, at::kLong)}, {"group", at::tensor(group, at::kLong)}};
  out.index = at::arange(x.size(0), at::kLong);
  return out;
}

double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }

const at::Tensor kLogits = at::tensor({0.0, 1.0, 0.0, -1.0, 0.0, 2.0, 0.0, -0.5}, at::kDouble).view({4, 2});

TEST(FairClassification, ThePriceIsTheSquaredGapOfProbabilities) {
  const auto b = batch(at::zeros({4, 1}, at::kDouble), {1, 0, 1, 1}, {1, 1, 0, 0});
  const double plain = task({{"constraint", "none"}})->loss({kLogits, {}}, b).item<double>();
  const double parity = (sigmoid(1) + sigmoid(-1)) / 2 - (sigmoid(2) + sigmoid(-0.5)) / 2;
  const auto dp = task({{"strength", 2.0}});
  EXPECT_NEAR(dp->loss({kLogits, {}}, b).item<double>(), plain + 2 * parity * parity, 1e-12);
  const double among_yes = sigmoid(1) - (sigmoid(2) + sigmoid(-0.5)) / 2;
  const auto odds = task({{"constraint", "equalised_odds"}, {"strength", 1.0}});
  EXPECT_NEAR(odds->loss({kLogits, {}}, b).item<double>(), plain + among_yes * among_yes, 1e-12)
      << "no row of group 0 with label 0: that gap does not count";
  const auto told = dp->measure({kLogits, {}}, b, 7);
  EXPECT_NEAR(told.at("parity_gap"), 0.0, 1e-12) << "by decisions: one of two in both groups";
  EXPECT_NEAR(told.at("odds_gap"), 0.5, 1e-12);
  EXPECT_NEAR(told.at("penalty"), parity * parity, 1e-12);
  EXPECT_EQ(told.at("accuracy"), 0.75);
  const auto watched = watched_of(*dp, {kLogits, {}}, b);
  ASSERT_EQ(watched.size(), 2u);
  EXPECT_NEAR(watched[1].value, parity, 1e-12) << "with its sign";
  EXPECT_TRUE(watched[1].two_sided);
}

TEST(FairClassification, GroupsAreZeroAndOne) {
  const auto b = batch(at::zeros({4, 1}, at::kDouble), {1, 0, 1, 1}, {1, 2, 0, 0});
  expect_part(refusal<ValueError>([&] { task({})->loss({kLogits, {}}, b); }), "expected groups 0 and 1");
  const auto alone = batch(at::zeros({4, 1}, at::kDouble), {1, 0, 1, 1}, {1, 1, 1, 1});
  EXPECT_EQ(task({})->measure({kLogits, {}}, alone, 0).count("parity_gap"), 0u) << "not measured, not zero";
  expect_part(refusal<ValueError>([&] {
                task({{"constraint", "burden"}})->loss({kLogits, {}}, b);
              }),
              "expected an answer with its slope");
  expect_part(refusal<ValueError>([] { task({{"constraint", "equal_odds"}}); }), "equalised_odds");
}

std::shared_ptr<Model> model() {
  Model::Context context;
  context.data.inputs = 3, context.answer.width = 2;
  auto made = make_part<Model>("linear_experts", {{"experts", 3}}, context);
  made->to(at::kDouble);
  const at::NoGradGuard no_grad;
  for (auto& item : made->named_parameters())
    item.value().copy_(ops::normal(Rng(3).fork(item.key()), item.value().sizes(), 0, 0.7));
  return made;
}

const at::Tensor kX = ops::normal(Rng(8), {40, 3}, 0, 1).to(at::kDouble);

TEST(Slope, IsTheDerivativeOfTheLogOdds) {
  const auto m = model();
  const auto b = batch(kX, std::vector<int64_t>(40, 0), std::vector<int64_t>(40, 0));
  const auto [out, slope] = answer_with_slope(*m, b, {}, 1, false);
  EXPECT_FALSE(out.answer.requires_grad());
  EXPECT_FALSE(slope.requires_grad());
  constexpr double kStep = 1e-5;
  for (int64_t j = 0; j < 3; ++j) {
    auto up = b, down = b;
    const auto step = at::zeros({3}, at::kDouble);
    step[j] = kStep;
    up.fields["x"] = kX + step, down.fields["x"] = kX - step;
    const at::NoGradGuard no_grad;
    const auto change = log_odds(m->answer(up, {}).answer, 1) - log_odds(m->answer(down, {}).answer, 1);
    EXPECT_LT((change / (2 * kStep) - slope.select(1, j)).abs().max().item<double>(), 1e-8);
  }
}

/// d loss / d parameters against differences.
void check_gradient(const Json& options) {
  const auto m = model();
  const auto t = task(options);
  std::vector<int64_t> label, group;
  for (int64_t i = 0; i < 40; ++i) label.push_back(i % 2), group.push_back(i / 2 % 2);
  const auto b = batch(kX, label, group);
  const auto loss = [&] {
    const auto one = answer_for(*t, *m, b, {}, true);
    return t->loss(one.output, one.batch);
  };
  const auto parameters = m->parameters();
  const auto gradients = torch::autograd::grad({loss()}, parameters, {}, {}, false, true);
  for (size_t p = 0; p < parameters.size(); ++p) {
    auto flat = parameters[p].detach().view({-1});
    for (const int64_t i : {int64_t{0}, flat.numel() / 7, flat.numel() / 5}) {
      constexpr double kStep = 1e-6;
      const double was = flat[i].item<double>();
      flat[i] = was + kStep;
      const double up = loss().item<double>();
      flat[i] = was - kStep;
      const double down = loss().item<double>();
      flat[i] = was;
      const double got = gradients[p].defined() ? gradients[p].reshape({-1})[i].item<double>() : 0;
      EXPECT_NEAR(got, (up - down) / (2 * kStep), 1e-6 + 1e-5 * std::abs(got))
          << options.dump() << p << " " << i;
    }
  }
}

TEST(FairClassification, GradientsOfEveryConstraintAreThoseOfDifferences) {
  for (const char* constraint : {"demographic_parity", "equalised_odds", "burden"})
    check_gradient({{"constraint", constraint}, {"strength", 3.0}});
}

TEST(FairClassification, BurdenIsTheDistanceToAFavourableAnswer) {
  // One linear classifier: the distance of a row to the line where both classes are even.
  Model::Context context;
  context.data.inputs = 2, context.answer.width = 2;
  const auto m = make_part<Model>("linear_experts", {{"experts", 1}, {"most", 1}}, context);
  m->to(at::kDouble);
  {
    const at::NoGradGuard no_grad;
    auto& named = *m;
    for (auto& item : named.named_parameters()) item.value().zero_();
    auto w = *named.named_parameters().find("weight");
    w[0][0][1] = 3.0, w[0][1][1] = 4.0;
  }
  const auto x = at::tensor({-1.0, 0.0, 0.0, -1.0, -2.0, 0.0, 1.0, 1.0}, at::kDouble).view({4, 2});
  const auto b = batch(x, {0, 0, 0, 1}, {1, 0, 0, 0});
  const auto t = task({{"constraint", "burden"}});
  const auto one = answer_for(*t, *m, b, {}, false);
  const auto told = t->measure(one.output, one.batch, 0);
  EXPECT_NEAR(told.at("burden_gap"), std::abs(3.0 / 5 - (4.0 / 5 + 6.0 / 5) / 2), 1e-9)
      << "the row that is favoured already has no way to go";
}

}  // namespace gw::test::fair_cases
