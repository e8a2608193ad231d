// Intervals for the mean of a mixture, and Student's t beneath them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "gatewright/likelihood/predict.h"
#include "tests/likelihood/samples.h"

namespace {

using namespace gw::likelihood;
using gw::test::crossing_lines;
using gw::test::Sample;

// R: predict(lm(y ~ x), data.frame(x = c(4, 9)), interval = "confidence").
TEST(MeanInterval, OfOneNormalExpertIsTheTextbooks) {
  Sample sample;
  for (int i = 0; i < 8; ++i) sample.x.push_back(i);
  sample.y = {1, 3, 2, 5, 4, 7, 6, 9};
  MixtureSpec spec;
  spec.experts = 1;
  const auto result = fit(sample.view(), spec, 1);
  const auto inference = infer(result, sample.view());
  const double inside = 4, outside = 9;
  const auto at = predict(spec, result.parameters, &inside, 0.9, &inference).mean_interval.value();
  EXPECT_NEAR(at.low, 4.378563389641386, 1e-9);
  EXPECT_NEAR(at.high, 5.883341372263377, 1e-9);
  const auto far = predict(spec, result.parameters, &outside, 0.95, &inference).mean_interval.value();
  EXPECT_NEAR(far.low, 7.783451783147312, 1e-9);
  EXPECT_NEAR(far.high, 12.597500597805068, 1e-9);
}

/// The law that the interval integrates, by drawing from it: estimates moved by the factor of their
/// covariance.
Interval drawn(const FitResult& fit, const Inference& inference, double x, int draws) {
  const size_t size = inference.estimate.size();
  std::vector<double> means;
  for (int i = 0; i < draws; ++i) {
    const gw::Rng rng = gw::Rng(3).fork("draw", static_cast<uint64_t>(i));
    auto values = to_vector(fit.spec, fit.parameters);
    for (size_t k = 0; k < size; ++k) {
      const double move = gw::test::normal(rng, k);
      for (size_t j = 0; j < size; ++j) {
        if (!inference.parameter[j].logarithmic()) values[j] += inference.factor[j * size + k] * move;
      }
    }
    means.push_back(predict(fit.spec, from_vector(fit.spec, 1, values), &x, 0.9).mean);
  }
  std::sort(means.begin(), means.end());
  const auto at = [&](double share) { return means[static_cast<size_t>(share * draws)]; };
  return {at(0.025), at(0.975)};
}

// 4000 draws: a quantile of 2.5 % is known to 4 % of the width. A tangent's interval is symmetric: off by a
// quarter of the width.
TEST(MeanInterval, IsThatOfEstimatesDrawnFromTheirLaw) {
  auto three = crossing_lines(600, 5);
  for (size_t i = 0; i < 600; ++i) {
    if (three.x[i] < -1) three.y[i] += 9;
  }
  double most_lopsided = 0;
  for (const int64_t experts : {2, 3}) {
    const Sample sample = experts == 2 ? crossing_lines(300, 5) : three;
    MixtureSpec spec;
    spec.experts = experts;
    const auto result = fit(sample.view(), spec, 1);
    const auto inference = infer(result, sample.view());
    for (const double x : {-1.4, -0.6, 0.2, 0.9, 1.6}) {
      const auto got = predict(spec, result.parameters, &x, 0.95, &inference);
      ASSERT_TRUE(got.mean_interval) << experts << " at " << x;
      const auto wanted = drawn(result, inference, x, 4000);
      const double width = wanted.high - wanted.low;
      EXPECT_NEAR(got.mean_interval->low, wanted.low, 0.06 * width) << experts << " at " << x;
      EXPECT_NEAR(got.mean_interval->high, wanted.high, 0.06 * width) << experts << " at " << x;
      const double middle = 0.5 * (got.mean_interval->low + got.mean_interval->high);
      most_lopsided = std::max(most_lopsided, std::abs(middle - got.mean) / width);
    }
  }
  EXPECT_GT(most_lopsided, 0.15);
}

// Every gate and family: an interval where there is an error, around the mean, growing with the level.
TEST(MeanInterval, GrowsWithTheLevelBehindEveryGate) {
  const Sample sample = crossing_lines(300, 9);
  for (const GateKind kind :
       {GateKind("softmax"), GateKind("top_k"), GateKind("dense_to_sparse"), GateKind("modified")}) {
    for (const Family family : {Family("gaussian"), Family("laplace"), Family("student_t")}) {
      MixtureSpec spec;
      spec.gate.kind = kind, spec.gate.top_k = 2, spec.family = family;
      FitOptions options;
      options.starts = 3;
      const auto result = fit(sample.view(), spec, 1, options);
      const auto inference = infer(result, sample.view());
      const double x = 0.8;
      const auto narrow = predict(spec, result.parameters, &x, 0.5, &inference);
      const auto wide = predict(spec, result.parameters, &x, 0.99, &inference);
      SCOPED_TRACE(std::string(name_of(kind)) + " " + name_of(family));
      ASSERT_EQ(narrow.mean_interval.has_value(), narrow.mean_error.has_value());
      ASSERT_TRUE(narrow.mean_interval);
      EXPECT_LT(wide.mean_interval->low, narrow.mean_interval->low);
      EXPECT_LT(narrow.mean_interval->low, narrow.mean);
      EXPECT_GT(narrow.mean_interval->high, narrow.mean);
      EXPECT_GT(wide.mean_interval->high, narrow.mean_interval->high);
    }
  }
}

// Lines that lie apart: what the gate's border moves has no error, and no interval.
TEST(MeanInterval, IsAbsentWhereTheMeanIsNotDetermined) {
  Sample sample;
  const gw::Rng rng(5);
  for (uint64_t i = 0; i < 200; ++i) {
    const bool first = i < 100;
    sample.x.push_back(first ? -0.5 - 2 * rng.uniform(2 * i) : 0.5 + 2 * rng.uniform(2 * i));
    sample.y.push_back((first ? 1 + sample.x.back() : 8 - sample.x.back()) + 0.3 * gw::test::normal(rng, i));
  }
  const auto result = fit(sample.view(), {}, 1);
  const auto inference = infer(result, sample.view());
  const double there = -1, between = 0;
  EXPECT_TRUE(predict({}, result.parameters, &there, 0.95, &inference).mean_interval);
  EXPECT_FALSE(predict({}, result.parameters, &between, 0.95, &inference).mean_interval);
}

}  // namespace
