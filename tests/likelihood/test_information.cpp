#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "gatewright/base/error.h"
#include "gatewright/likelihood/inference.h"
#include "gatewright/likelihood/information.h"
#include "gatewright/likelihood/predict.h"
#include "tests/likelihood/samples.h"

namespace {

using namespace gw::likelihood;
using gw::test::crossing_lines;
using gw::test::crossing_lines_truth;
using gw::test::Sample;

MixtureSpec one_expert(Family family = Family("gaussian")) {
  MixtureSpec spec;
  spec.experts = 1, spec.family = family;
  return spec;
}

/// Eight rows of a line: least squares (maximum-likelihood scale) gives its slope the error 0.143 and the
/// mean at origin + 4 0.33532.
Sample line_at(double origin) {
  Sample sample;
  for (int i = 0; i < 8; ++i) sample.x.push_back(origin + i);
  sample.y = {1, 3, 2, 5, 4, 7, 6, 9};
  return sample;
}

/// Two columns, the second the square of the first, around `origin`.
Sample parabola_at(double origin) {
  Sample sample;
  for (int i = 0; i < 31; ++i) {
    const double x = origin + i;
    sample.x.push_back(x), sample.x.push_back(x * x);
    sample.y.push_back(0.01 * i * i + std::sin(7.0 * i));
  }
  return sample;
}

TEST(Information, AgreesWithDifferencesOfTheScoreForEveryFamilyAndGate) {
  const Sample two = parabola_at(-15);
  for (const Family family : {Family("gaussian"), Family("student_t"), Family("multinomial")}) {
    for (const GateKind kind :
         {GateKind("softmax"), GateKind("top_k"), GateKind("dense_to_sparse"), GateKind("modified")}) {
      for (const Activation& activation : {Activation::kTanh, Activation::kSigmoid, Activation::kGelu}) {
        if (kind == GateKind("modified") && activation == Activation::kGelu)
          continue;  // modified gates want bounded functions
        MixtureSpec spec;
        spec.experts = 3, spec.family = family, spec.classes = 3;
        spec.gate.kind = kind, spec.gate.top_k = 2, spec.gate.activation = activation;
        Sample sample = two;
        for (size_t i = 0; family == Family("multinomial") && i < sample.y.size(); ++i)
          sample.y[i] = static_cast<double>(i % 3);
        auto p = make_parameters(spec, 2);
        double value = 0.3;
        for (auto* list : {&p.gate_bias, &p.gate_slope, &p.intercept, &p.slope}) {
          for (auto& entry : *list) entry = std::sin(value += 1.7);
        }
        pin_last_gate(spec, p);
        if (kind == GateKind("dense_to_sparse")) p.temperature = 0.7, p.gate_slope[4] = p.gate_slope[5] = 0;
        const Design design(sample.view(), spec);
        const auto sums = information(spec, p, design);
        const auto at = to_vector(spec, p);
        for (size_t j = 0; j < at.size(); ++j) {
          auto above = at, below = at;
          above[j] += 1e-5, below[j] -= 1e-5;
          const auto high = information(spec, from_vector(spec, 2, above), design),
                     low = information(spec, from_vector(spec, 2, below), design);
          for (size_t i = 0; i < at.size(); ++i) {
            const double wanted = (low.gradient[i] - high.gradient[i]) / 2e-5;
            EXPECT_NEAR(sums.curvature[i * at.size() + j], wanted, 1e-6 * (1 + std::abs(wanted)))
                << name_of(family) << " " << name_of(kind);
          }
        }
      }
    }
  }
}

TEST(Inference, AnOriginFarAwayChangesNoErrorOfASlopeOrOfAMean) {
  const double x_near = 4;
  const Sample near = line_at(0);
  const auto reference = fit(near.view(), one_expert(), 1);
  const auto wanted = infer(reference, near.view());
  const double mean_error =
      predict(one_expert(), reference.parameters, &x_near, 0.95, &wanted).mean_error.value();
  EXPECT_NEAR(*wanted.error[1], 0.143, 0.0005);
  EXPECT_NEAR(mean_error, 0.33532, 1e-5);
  for (const double origin : {1e4, 1e6, 1.7e9, 1.7e12}) {  // the last: milliseconds since 1970
    const Sample sample = line_at(origin);
    const double x = origin + 4;
    const auto result = fit(sample.view(), one_expert(), 1);
    const auto inference = infer(result, sample.view());
    ASSERT_TRUE(inference.error[0] && inference.error[1]) << origin;
    EXPECT_NEAR(*inference.error[1] / *wanted.error[1], 1, 1e-6) << origin;
    const auto predicted = predict(one_expert(), result.parameters, &x, 0.95, &inference);
    ASSERT_TRUE(predicted.mean_error) << origin;
    EXPECT_NEAR(*predicted.mean_error / mean_error, 1, 1e-3)
        << origin;  // the mean itself has 1e-16 · slope · x
    EXPECT_TRUE(inference.warnings.empty());
  }
}

TEST(Inference, AYearAndItsSquareHaveErrors) {
  const Sample near = parabola_at(0), years = parabola_at(1990);
  const auto wanted = infer(fit(near.view(), one_expert(), 1), near.view()),
             inference = infer(fit(years.view(), one_expert(), 1), years.view());
  for (size_t i = 0; i < 4; ++i) ASSERT_TRUE(inference.error[i]) << i;
  EXPECT_NEAR(*inference.error[2] / *wanted.error[2], 1,
              1e-4);  // a shift does not move the square's coefficient
}

TEST(Inference, ALevelWithOneRowAndResidualsOfOneSizeHaveTheErrorsOfLeastSquares) {
  Sample levels;  // intercept for a, then b against a, c against a
  levels.x = {0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 0, 1};
  levels.y = {1, 2, 4, 3, 5, 7, 6, 5};
  const auto a = infer(fit(levels.view(), one_expert(), 1), levels.view());
  const double wanted[] = {0.7706, 0.8898, 0.8615};
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(a.error[i].value_or(0), wanted[i], 1e-4) << i;
  // All three are against the level with one row, whose residual is 0: nothing tells how its rows would
  // scatter.
  for (size_t i = 0; i < 3; ++i) EXPECT_FALSE(a.robust_error[i]) << i;
  EXPECT_TRUE(a.robust_error[3]);
  Sample equal;
  equal.x = {0, 0, 0, 0, 1, 1, 1, 1}, equal.y = {1, 2, 1, 2, 4, 5, 4, 5};
  const auto b = infer(fit(equal.view(), one_expert(), 1), equal.view());
  EXPECT_NEAR(b.error[0].value_or(0), 0.25, 1e-6);
  EXPECT_NEAR(b.error[1].value_or(0), std::sqrt(0.125), 1e-6);
  EXPECT_NEAR(b.error[2].value_or(0), 0.125, 1e-6);
  EXPECT_TRUE(b.robust_error[0] && b.robust_error[1]);
  EXPECT_FALSE(b.robust_error[2]);  // every row says the same of the scale
}

TEST(Inference, WeightTwoIsTheRowTwice) {
  const Sample once = crossing_lines(150, 3);
  Sample twice = once;
  twice.x.insert(twice.x.end(), once.x.begin(), once.x.end()),
      twice.y.insert(twice.y.end(), once.y.begin(), once.y.end());
  const std::vector<double> weight(once.y.size(), 2.0);
  DataView weighted = once.view();
  weighted.weight = weight.data();
  const auto a = infer(fit_from(weighted, {}, crossing_lines_truth()), weighted);
  const auto b = infer(fit_from(twice.view(), {}, crossing_lines_truth()), twice.view());
  for (size_t i = 0; i < a.error.size(); ++i) {
    EXPECT_NEAR(*a.error[i] / *b.error[i], 1, 1e-5) << i;
    EXPECT_NEAR(*a.robust_error[i] / *b.robust_error[i], 1, 1e-5) << i;
  }
}

// A line with normal noise, fitted by least absolute deviations: the model's own errors are 0.61 of the
// scatter.
TEST(Inference, RobustErrorsOfLaplaceExpertsHoldWhenTheNoiseIsNormal) {
  constexpr int kSamples = 200;
  int far = 0;
  for (uint64_t seed = 1; seed <= kSamples; ++seed) {
    const gw::Rng rng(seed);
    Sample sample;
    for (uint64_t i = 0; i < 200; ++i) {
      sample.x.push_back(2 * rng.fork("x").uniform(i) - 1);
      sample.y.push_back(1 + 2 * sample.x.back() + gw::test::normal(rng.fork("noise"), i));
    }
    FitOptions options;
    options.starts = 1;
    const auto inference =
        infer(fit(sample.view(), one_expert(Family("laplace")), 1, options), sample.view());
    ASSERT_TRUE(inference.robust_error[1]) << seed;
    far += std::abs(inference.estimate[1] - 2) > 1.96 * *inference.robust_error[1];
  }
  EXPECT_LE(far, 22);  // of 200: 10 ± 3.1, within four of its deviations; the model's errors give 40
}

// Student's interval of a line, which is exact: level 0.95, n rows.
TEST(Predict, AnIntervalOfOneNormalExpertIsTheTextbooks) {
  const Sample sample = line_at(0);
  const auto result = fit(sample.view(), one_expert(), 1);
  const auto inference = infer(result, sample.view());
  const double x = 4, quantile = 2.446911851144969;  // t of 6 degrees of freedom at 0.975
  const double s = result.parameters.scale[0] * std::sqrt(8.0 / 6), leverage = 1.0 / 8 + 0.25 / 42;
  const auto predicted = predict(one_expert(), result.parameters, &x, 0.95, &inference);
  EXPECT_NEAR(predicted.high - predicted.low, 2 * quantile * s * std::sqrt(1 + leverage), 1e-6);
}

TEST(Fit, RefusesMagnitudesWhoseErrorsWouldOverflow) {
  for (const double unit : {1e154, 1e300, 1e-154, 1e-310}) {
    Sample response = line_at(0), column = line_at(0);
    for (auto& y : response.y) y *= unit;
    for (auto& x : column.x) x *= unit;
    EXPECT_THROW(fit(response.view(), one_expert(), 1), gw::ValueError) << unit;
    EXPECT_THROW(fit(column.view(), one_expert(), 1), gw::ValueError) << unit;
  }
}

}  // namespace
