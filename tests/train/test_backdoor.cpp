// Finding triggered inputs: scores against a scalar reference, areas against all pairs, thresholds, the stop.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "gatewright/ops/random.h"
#include "gatewright/train/answers.h"
#include "gatewright/train/backdoor.h"
#include "gatewright/train/fine_tune.h"
#include "gatewright/train/trainer.h"
#include "tests/support/refusal.h"
#include "tests/train/small_run.h"

namespace gw::test::backdoor_cases {

double reference(double x, double y, double factor, double cap) {
  return std::min(factor * y / std::max(x, 1e-8), (1 - x) / std::max(cap - y, 1e-8));
}

TEST(BackdoorScore, IsTheFormula) {
  const std::vector<double> grid{0, 1e-12, 1e-8, 0.1, 0.3, 0.4999999, 0.5, 0.50001, 0.9, 1};
  for (const auto& [factor, cap] : {std::pair{2.0, 0.5}, std::pair{2.5, 0.4}, std::pair{5.0, 0.2}}) {
    std::vector<double> xs, ys;
    for (const double x : grid) {
      for (const double y : grid) xs.push_back(x), ys.push_back(y);
    }
    BackdoorScore how;
    how.factor = factor, how.cap = cap;
    const auto score = backdoor_score(at::tensor(xs, at::kDouble), at::tensor(ys, at::kDouble), how);
    for (size_t i = 0; i < xs.size(); ++i) {
      const double wanted = reference(xs[i], ys[i], factor, cap);
      EXPECT_NEAR(score[static_cast<int64_t>(i)].item<double>(), wanted, 1e-12 * (1 + wanted))
          << xs[i] << " " << ys[i];
    }
  }
  // The corner of triggers is below the corner of clean inputs.
  const auto corners = backdoor_score(at::tensor({0.99, 0.02}), at::tensor({0.01, 0.98}), {});
  EXPECT_LT(corners[0].item<double>(), 0.03);
  EXPECT_GT(corners[1].item<double>(), 50);
  expect_part(refusal<ValueError>([] { backdoor_score(at::zeros({2}), at::zeros({3}), {}); }), "got 2 and 3");
}

TEST(AlertThreshold, LetsTheShareAlertAndNoMore) {
  const auto scores = at::arange(1000, at::kDouble).flip(0);
  EXPECT_EQ(scores.lt(alert_threshold(scores, 0.01)).sum().item<int64_t>(), 10);
  EXPECT_EQ(scores.lt(alert_threshold(scores.slice(0, 0, 999), 0.1)).sum().item<int64_t>(), 100);
  EXPECT_EQ(at::zeros({100}).lt(alert_threshold(at::zeros({100}), 0.1)).sum().item<int64_t>(), 0) << "ties";
  expect_part(refusal<ValueError>([&] { alert_threshold(scores.slice(0, 0, 99), 0.01); }),
              "expected at least 100 clean scores for a share of 0.01 that may alert, got 99");
  expect_part(refusal<ValueError>([] { alert_threshold(at::zeros({0}), 0.01); }), "got 0");
}

ScoredInputs drawn(const Rng& rng, int64_t n, double shift) {
  ScoredInputs out;
  out.predicted = ops::uniform(rng.fork("predicted"), {n}, 0, 3).to(at::kLong);
  out.label = ops::uniform(rng.fork("label"), {n}, 0, 3).to(at::kLong);
  out.score = ((ops::uniform(rng.fork("score"), {n}, 0, 1) + shift) * 20).round().to(at::kDouble);  // ties
  return out;
}

/// The chance that an input of the second set scores below one of the first, ties half, over all pairs.
double pairs(const ScoredInputs& clean, const ScoredInputs& triggered, bool selected) {
  double below = 0, all = 0;
  for (int64_t i = 0; i < clean.score.numel(); ++i) {
    if (selected && !clean.right()[i].item<bool>()) continue;
    for (int64_t j = 0; j < triggered.score.numel(); ++j) {
      if (selected && !triggered.right()[j].item<bool>()) continue;
      const double a = clean.score[i].item<double>(), b = triggered.score[j].item<double>();
      below += b < a ? 1 : b == a ? 0.5 : 0, all += 1;
    }
  }
  return below / all;
}

TEST(Filter, CountsAndAreasAreThoseOfBruteForce) {
  const auto clean = drawn(Rng(1), 60, 0.3), triggered = drawn(Rng(2), 50, 0);
  const double threshold = 9;
  const auto measured = measure_filter(clean, triggered, threshold);
  EXPECT_NEAR(measured.at("auroc"), pairs(clean, triggered, false), 1e-12);
  EXPECT_NEAR(measured.at("auroc_successful"), pairs(clean, triggered, true), 1e-12);
  double right = 0, right_kept = 0, success = 0, success_kept = 0;
  for (int64_t i = 0; i < 60; ++i) {
    const bool is = clean.predicted[i].item<int64_t>() == clean.label[i].item<int64_t>();
    right += is, right_kept += is && clean.score[i].item<double>() >= threshold;
  }
  for (int64_t i = 0; i < 50; ++i) {
    const bool is = triggered.predicted[i].item<int64_t>() == triggered.label[i].item<int64_t>();
    success += is, success_kept += is && triggered.score[i].item<double>() >= threshold;
  }
  EXPECT_DOUBLE_EQ(measured.at("clean_accuracy"), right / 60);
  EXPECT_DOUBLE_EQ(measured.at("clean_accuracy_filtered"), right_kept / 60);
  EXPECT_DOUBLE_EQ(measured.at("attack_success"), success / 50);
  EXPECT_DOUBLE_EQ(measured.at("attack_success_filtered"), success_kept / 50);
  EXPECT_NEAR(measured.at("false_positives"), 1 - right_kept / right, 1e-12);
  EXPECT_NEAR(measured.at("true_positives"), 1 - success_kept / success, 1e-12);
  auto failed = triggered;
  failed.label = failed.predicted + 1;
  const auto none = measure_filter(clean, failed, threshold);
  EXPECT_EQ(none.count("true_positives"), 0u);
  EXPECT_EQ(none.count("auroc_successful"), 0u);
  EXPECT_EQ(none.at("attack_success"), 0.0);
}

TEST(Mislabelled, EveryLabelIsWrongInTheSameWay) {
  TensorSet set;
  set.fields["label"] = at::tensor({0, 3, 1}, at::kLong), set.fields["image"] = at::ones({3, 1});
  const auto out = mislabelled(set, 4);
  EXPECT_TRUE(out.at("label").equal(at::tensor({1, 0, 2}, at::kLong)));
  EXPECT_TRUE(set.at("label").equal(at::tensor({0, 3, 1}, at::kLong)));
  EXPECT_TRUE(out.at("image").is_same(set.at("image")));
  expect_part(refusal<ValueError>([&] { mislabelled(set, 1); }), "at least 2 classes");
}

FineTune tuning(const Json& options) {
  FineTune how;
  parse_options("the test", options, how);
  return how;
}

TEST(FineTune, StopsWhenAskedAndLearnsOtherwise) {
  const auto config = small_config(small_objective("natural"), 1);
  const auto data = load_data(config);
  const auto task = make_task(config);
  const auto accuracy = [&](Model& model) {
    return share_right(answers_to(model, data.train), data.train.at("label"));
  };
  const auto how =
      tuning({{"epochs", 6}, {"batch", 16}, {"schedule", {{"shape", "constant"}, {"lr", 0.02}}}});
  const auto model = make_model(config, data, *task), again = make_model(config, data, *task),
             stopped = make_model(config, data, *task);
  const double before = accuracy(*model);
  std::vector<int64_t> asked;
  const auto steps = fine_tune(*model, *task, data.train, how, Rng(5), [&](int64_t step) {
    asked.push_back(step);
    return true;
  });
  EXPECT_GT(accuracy(*model), before + 0.1);
  ASSERT_EQ(static_cast<int64_t>(asked.size()), steps + 1);
  EXPECT_EQ(asked.front(), 0);
  EXPECT_EQ(asked.back(), steps);
  fine_tune(*again, *task, data.train, how, Rng(5), [](int64_t) { return true; });
  EXPECT_TRUE(answers_to(*again, data.test).equal(answers_to(*model, data.test))) << "a function of the seed";
  const auto untouched = answers_to(*stopped, data.test);
  EXPECT_EQ(fine_tune(*stopped, *task, data.train, how, Rng(5), [](int64_t step) { return step < 0; }), 0);
  EXPECT_TRUE(answers_to(*stopped, data.test).equal(untouched));
  EXPECT_EQ(fine_tune(*stopped, *task, data.train, how, Rng(5), [](int64_t step) { return step < 3; }), 3);
  expect_part(refusal<ValueError>([] { tuning({{"epoch", 3}}); }), "did you mean \"epochs\"?");
}

}  // namespace gw::test::backdoor_cases
