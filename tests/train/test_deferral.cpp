// Thresholds with a bound: exact limits, promises that hold, promises that must be seen to fail.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/train/check.h"
#include "gatewright/train/deferral_trials.h"
#include "tests/support/refusal.h"

namespace gw::test::deferral_cases {

TEST(Binomial, TailsAndLimitsAreExact) {
  EXPECT_NEAR(binomial_below(0, 10, 0.1), std::pow(0.9, 10), 1e-14);
  EXPECT_NEAR(binomial_below(1, 3, 0.5), 0.5, 1e-14);
  EXPECT_EQ(binomial_below(3, 3, 0.2), 1.0);
  EXPECT_NEAR(binomial_upper(0, 45, 0.95), 1 - std::pow(0.05, 1.0 / 45), 1e-12)
      << "without an error a closed form";
  EXPECT_NEAR(binomial_below(7, 100, binomial_upper(7, 100, 0.9)), 0.1, 1e-9);
  EXPECT_EQ(binomial_upper(5, 5, 0.9), 1.0);
  EXPECT_NEAR(binomial_below(500, 10000, 0.05), 0.5, 0.02) << "no overflow";
  expect_part(refusal<ValueError>([] { binomial_below(4, 3, 0.5); }), "got 4, 3 and 0.5");
}

TEST(Sureness, ScoresOrderLogitsAndDoNotSaturate) {
  const auto logits =
      at::tensor({60.0, 0.0, 0.0, 50.0, 0.0, 0.0, 1.0, 0.9, -5.0, 0.0, 0.0, 0.0}, at::kDouble).view({4, 3});
  for (const auto& score : sureness_names()) {
    const auto s = sureness(score, logits);
    for (int64_t i = 0; i + 1 < 3; ++i) EXPECT_GT(s[i].item<double>(), s[i + 1].item<double>()) << score << i;
  }
  EXPECT_NEAR(sureness("max_probability", logits)[3].item<double>(), std::log(0.5), 1e-12)
      << "log p / (1 − p) of 1/3";
  EXPECT_NEAR(sureness("margin", logits)[2].item<double>(), 0.1, 1e-12);
  EXPECT_NEAR(sureness("entropy", logits)[3].item<double>(), -std::log(3.0), 1e-12);
  expect_part(refusal<ValueError>([&] { sureness("margins", logits); }), "did you mean \"margin\"?");
  expect_part(refusal<ValueError>([&] { sureness("margin", at::zeros({3, 1})); }), "at least 2 classes");
}

/// Scores uniform on [0, 1); an example of score s is wrong with the chance (1 − s) / 2: error of all 0.25,
/// of the part above t (1 − t) / 4.
Calibration drawn(const Rng& rng, int64_t count) {
  Calibration out;
  for (int64_t i = 0; i < count; ++i) {
    const double s = rng.uniform(2 * static_cast<uint64_t>(i));
    out.sure.push_back(s), out.wrong.push_back(rng.uniform(2 * static_cast<uint64_t>(i) + 1) < (1 - s) / 2);
  }
  return out;
}

/// The share of 400 calibrations whose threshold breaks the bound, by the true error above it.
double broken(const std::string& method, double bound, double confidence, double& coverage) {
  int broken = 0;
  coverage = 0;
  constexpr int kTrials = 400;
  for (int trial = 0; trial < kTrials; ++trial) {
    const auto rng = Rng(5).fork("trial", static_cast<uint64_t>(trial));
    const auto grid = deferral_grid(drawn(rng.fork("grid"), 200).sure, 50);
    const auto rule = calibrate_deferral(drawn(rng.fork("held out"), 600), grid, {method, bound, confidence});
    if (std::isinf(rule.threshold)) continue;
    coverage += (1 - rule.threshold) / kTrials;
    broken += (1 - rule.threshold) / 4 > bound ? 1 : 0;
  }
  return static_cast<double>(broken) / kTrials;
}

TEST(Deferral, TheBoundHoldsWithItsConfidenceAndWithoutTestsItDoesNot) {
  double coverage = 0, careless = 0;
  // 400 trials: a share of 0.1 has the deviation 0.015.
  EXPECT_LE(broken("selective", 0.1, 0.9, coverage), 0.1 + 3 * 0.015);
  EXPECT_GT(coverage, 0.2) << "0.4 would be exact: a rule that keeps nothing breaks nothing";
  EXPECT_LE(broken("selective", 0.1, 0.99, coverage), 0.01 + 3 * 0.005);
  EXPECT_GT(broken("none", 0.1, 0.9, careless), 0.3) << "the measured error alone promises nothing";
  EXPECT_GT(careless, coverage);
}

TEST(Deferral, ConformalRiskControlBoundsWhatIsLetThroughOnAverage) {
  double sum = 0, kept = 0;
  constexpr int kTrials = 400;
  for (int trial = 0; trial < kTrials; ++trial) {
    const auto rng = Rng(6).fork("trial", static_cast<uint64_t>(trial));
    const auto grid = deferral_grid(drawn(rng.fork("grid"), 200).sure, 50);
    const auto rule = calibrate_deferral(drawn(rng.fork("held out"), 200), grid, {"expected", 0.05, 0.9});
    const double above = std::isinf(rule.threshold) ? 0 : 1 - rule.threshold;
    sum += above * above / 4, kept += above;
  }
  EXPECT_LE(sum / kTrials, 0.05 + 0.002);
  EXPECT_GT(sum / kTrials, 0.035) << "and is not far below it";
  EXPECT_GT(kept / kTrials, 0.35);
}

TEST(Deferral, AHopelessClassifierKeepsNothing) {
  Calibration wrong{std::vector<double>(300, 0), std::vector<bool>(300, true)};
  for (size_t i = 0; i < 300; ++i) wrong.sure[i] = static_cast<double>(i);
  const auto grid = deferral_grid(wrong.sure, 20);
  for (const auto* method : {"selective", "expected", "none"}) {
    const auto rule = calibrate_deferral(wrong, grid, {method, 0.02, 0.9});
    EXPECT_TRUE(std::isinf(rule.threshold)) << method;
  }
}

TEST(Deferral, OnlyUnsureInputsGoToTheExpert) {
  const auto logits = at::tensor({9.0, 0.0, 0.1, 0.0, 0.0, 9.0}, at::kDouble).view({3, 2});
  at::Tensor asked;
  const Deferral deferral("margin", 1.0, [&](const at::Tensor& positions) {
    asked = positions;
    return at::full_like(positions, 1);
  });
  const auto answer = deferral.answer(logits);
  EXPECT_TRUE(asked.equal(at::tensor({1}, at::kLong)));
  EXPECT_TRUE(answer.label.equal(at::tensor({0, 1, 1}, at::kLong)));
  EXPECT_TRUE(answer.deferred.equal(at::tensor({0, 1, 0}, at::kLong).to(at::kBool)));
  const Deferral mute("margin", 1.0, [](const at::Tensor&) { return at::zeros({0}, at::kLong); });
  expect_part(refusal<ValueError>([&] { mute.answer(logits); }),
              "expected a label for each of 1 deferred inputs");
}

TEST(Deferral, TheCurveIsThatOfTheSortedExamples) {
  const auto curve = coverage_curve({{4, 3, 2, 2}, {false, true, false, false}});
  EXPECT_EQ(curve.coverage, (std::vector<double>{0.25, 0.5, 1.0})) << "ties together";
  EXPECT_EQ(curve.accuracy, (std::vector<double>{1.0, 0.5, 0.75}));
  EXPECT_NEAR(curve.area_of_risk, (0 + 1.0 / 2 + 1.0 / 3 + 1.0 / 4) / 4, 1e-12);
}

TEST(Deferral, BadArgumentsAreNamed) {
  const Calibration some{{1, 2}, {false, true}};
  expect_part(refusal<ValueError>([&] { calibrate_deferral(some, {1, 2}, {}); }), "from strict to lax");
  expect_part(refusal<ValueError>([&] { calibrate_deferral({}, {1}, {}); }), "expected held-out scores");
  expect_part(refusal<ValueError>([&] {
                calibrate_deferral(some, {1}, {"selective", 1.5, 0.9});
              }),
              "got 1.5");
  expect_part(refusal<ValueError>([&] {
                calibrate_deferral(some, {1}, {"selective", 0.1, 1});
              }),
              "a confidence");
  expect_part(refusal<ValueError>([&] {
                calibrate_deferral(some, {1}, {"selectiv", 0.1, 0.9});
              }),
              "did you mean \"selective\"?");
}

DeferralTrials trials(const std::string& method) {
  DeferralTrials out;
  out.examples = drawn(Rng(8), 4000);
  out.expert_right.assign(4000, true);
  out.bound = {method, 0.1, 0.9};
  return out;
}

TEST(DeferralTrials, ABrokenPromiseFailsItsMark) {
  Mark mark;
  mark.name = "splits that break the bound", mark.metric = "broken", mark.arm = "a", mark.at_most = 0.15;
  for (const auto& [method, verdict] : {std::pair{"selective", true}, std::pair{"none", false}}) {
    const auto measured = measure_deferral(trials(method), Rng(1));
    Recipe recipe;
    recipe.marks = {mark};
    EXPECT_EQ(judge(recipe, "tiny", {{"a", 0, measured}}).at(0).holds, verdict)
        << method << ": " << measured.at("broken");
  }
}

TEST(DeferralTrials, AnInfallibleExpertMakesTheJointAnswerBetter) {
  const auto measured = measure_deferral(trials("selective"), Rng(1));
  EXPECT_NEAR(measured.at("model_accuracy"), 0.75, 0.03);
  EXPECT_EQ(measured.at("expert_accuracy"), 1.0);
  EXPECT_NEAR(measured.at("joint_accuracy"), 1 - measured.at("let_through"), 1e-12);
  EXPECT_GT(measured.at("joint_accuracy"), 0.95);
  auto few = trials("selective");
  few.held_out = 0.95;
  expect_part(refusal<ValueError>([&] { measure_deferral(few, Rng(1)); }), "got 4000 in all");
  few.expert_right.pop_back();
  expect_part(refusal<ValueError>([&] { measure_deferral(few, Rng(1)); }),
              "an expert's answer for each of 4000");
}

}  // namespace gw::test::deferral_cases
