// What one vector out of several is, and what a liar among them can do to it.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/ops/random.h"
#include "gatewright/train/federated.h"
#include "gatewright/train/robust_mean.h"
#include "tests/support/refusal.h"

namespace gw::test::robust_mean_cases {

RobustRule rule(const std::string& name) {
  RobustRule out;
  out.name = name;
  return out;
}

/// Vectors of one value each, with their examples.
std::vector<SentVector> sent(const std::vector<std::pair<double, double>>& values) {
  std::vector<SentVector> out;
  for (const auto& [value, examples] : values) out.push_back({at::full({2}, value), examples});
  return out;
}

double of(const std::string& name, const std::vector<std::pair<double, double>>& values, double limit = 1) {
  const auto y = robust_mean(at::ones({2}), sent(values), rule(name), limit);
  EXPECT_EQ(y.scalar_type(), at::kFloat);
  EXPECT_EQ(y[0].item<double>(), y[1].item<double>());
  return y[0].item<double>();
}

TEST(RobustMean, IsItsFormula) {
  const std::vector<std::pair<double, double>> values{{1, 10}, {5, 30}, {3, 10}, {4, 10}, {100, 10}};
  EXPECT_NEAR(of("mean", values), (10 + 150 + 30 + 40 + 1000) / 70.0, 1e-5);
  EXPECT_EQ(of("median", values), 4);
  EXPECT_EQ(of("trimmed", values), 4) << "a fifth of five is one at either end";
  EXPECT_EQ(of("median", {{1, 1}, {2, 1}, {4, 1}, {100, 1}}), 3) << "the middle two of four";
  // From ones: steps 0, 4, 2, 3 and 99 in both coordinates, each at most 2 long.
  const double step = 2 / std::sqrt(2.0);
  EXPECT_NEAR(of("clipped", values, 2), 1 + (0 + 30 * step + 10 * step + 10 * step + 10 * step) / 70, 1e-6);
  EXPECT_NEAR(of("clipped", values, 1e9), of("mean", values), 1e-5) << "no step is as long";
}

TEST(RobustMean, OfTwoIsTheMeanAndOfOneTheOne) {
  for (const char* name : {"mean", "trimmed", "median"}) {
    EXPECT_EQ(of(name, {{2, 1}, {4, 1}}), 3) << name;
    EXPECT_EQ(of(name, {{7, 5}}), 7) << name;
  }
  EXPECT_EQ(of("clipped", {{1, 5}}, 0), 1) << "a step of no length";
}

// Whatever a liar sends: no weight beyond what the honest sent, or no further than one honest step.
TEST(RobustMean, ALiarMovesItNoFurtherThanItsBound) {
  const auto now = at::zeros({50});
  std::vector<SentVector> honest;
  for (uint64_t i = 0; i < 4; ++i) honest.push_back({ops::normal(Rng(i), {50}, 1, 0.1), 10});
  std::vector<at::Tensor> values;
  for (const auto& one : honest) values.push_back(one.value);
  const auto least = std::get<0>(at::stack(values).min(0)), most = std::get<0>(at::stack(values).max(0));
  const auto without = robust_mean(now, honest, rule("mean"), 0);
  for (const double lie : {-1e6, -30.0, 30.0, 1e6}) {
    auto all = honest;
    all.push_back({at::full({50}, lie), 10});
    for (const char* name : {"trimmed", "median"}) {
      const auto y = robust_mean(now, all, rule(name), 0);
      EXPECT_TRUE(y.ge(least).logical_and(y.le(most)).all().item<bool>()) << name << lie;
    }
    std::vector<double> lengths;
    for (const auto& one : all) lengths.push_back(one.value.norm().item<double>());
    const double limit = steps_limit(lengths, rule("clipped"));
    const auto y = robust_mean(now, all, rule("clipped"), limit);
    EXPECT_LE((y - without * 0.8).norm().item<double>(), limit / 5 + 0.2) << lie;
    EXPECT_GT((robust_mean(now, all, rule("mean"), 0) - without).norm().item<double>(), 6 * limit / 5);
  }
}

TEST(StepsLimit, IsTheLowerMedianTimesClip) {
  auto twice = rule("clipped");
  twice.clip = 2;
  EXPECT_EQ(steps_limit({3, 1, 100}, twice), 6);
  EXPECT_EQ(steps_limit({3, 1}, twice), 2) << "of two the shorter: the other one may be the liar's";
  EXPECT_EQ(steps_limit({}, twice), 0);
  expect_part(refusal<ValueError>([&] { robust_mean(at::zeros({2}), {}, twice, 1); }), "at least one vector");
}

ClientUpdate update(int64_t client, const std::vector<int64_t>& chosen, double value) {
  ClientUpdate u{client, 10, chosen, {}, at::full({3}, value)};
  for (size_t i = 0; i < chosen.size(); ++i) u.expert.push_back(at::full({4}, value));
  return u;
}

// Few clients train the same expert: the limit is taken over the steps of all of them.
TEST(AggregateByRule, ALiarAloneWithAnExpertIsClippedByTheOthersSteps) {
  FederatedWeights weights{{at::zeros({4}), at::zeros({4})}, at::zeros({3})};
  const std::vector<ClientUpdate> updates{update(0, {0}, 1), update(1, {0}, 1), update(2, {1}, -9)};
  auto clipped = weights;
  aggregate(updates, clipped, rule("clipped"));
  EXPECT_TRUE(clipped.expert[0].allclose(at::ones({4})));
  EXPECT_TRUE(clipped.expert[1].allclose(at::full({4}, -1.0)));
  EXPECT_TRUE(clipped.gate.allclose(at::full({3}, 1 / 3.0)));
  auto median = weights;
  aggregate(updates, median, rule("median"));
  EXPECT_TRUE(median.expert[1].equal(at::full({4}, -9.0))) << "one sender is the median of one";
  EXPECT_TRUE(median.gate.equal(at::ones({3})));
}

}  // namespace gw::test::robust_mean_cases
