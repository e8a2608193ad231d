#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/base/error.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/inference.h"
#include "gatewright/likelihood/predict.h"
#include "tests/likelihood/samples.h"

namespace {

using namespace gw::likelihood;
using gw::test::crossing_lines;
using gw::test::crossing_lines_truth;
using gw::test::draw_sample;
using gw::test::Sample;

/// All families and gates at parameters that are no maximum, two columns, the gate seeing one of them.
std::vector<std::pair<MixtureSpec, MixtureParameters>> all_models() {
  std::vector<std::pair<MixtureSpec, MixtureParameters>> result;
  for (const Family family :
       {Family("gaussian"), Family("laplace"), Family("student_t"), Family("multinomial")}) {
    for (const GateKind kind :
         {GateKind("softmax"), GateKind("top_k"), GateKind("dense_to_sparse"), GateKind("modified")}) {
      MixtureSpec spec;
      spec.experts = 3, spec.family = family, spec.classes = 3, spec.gate.kind = kind, spec.gate.top_k = 2;
      spec.gate.columns = std::vector<int64_t>{1};
      auto p = make_parameters(spec, 2);
      double value = 0.3;
      for (auto* list : {&p.gate_bias, &p.gate_slope, &p.intercept, &p.slope}) {
        for (auto& entry : *list) entry = std::sin(value += 1.7);
      }
      for (auto& entry : p.scale) entry = 0.5 + std::abs(std::sin(value += 1.7));
      for (auto& entry : p.freedom) entry = 3 + std::sin(value += 1.7);
      p.temperature = 0.7;
      pin_last_gate(spec, p);
      if (kind == GateKind("dense_to_sparse"))
        p.gate_slope[2] = 0;  // an activated gate keeps it; from_vector makes it zero
      result.emplace_back(spec, p);
    }
  }
  return result;
}

TEST(Score, IsTheDerivativeOfTheLogDensity) {
  for (const auto& [spec, p] : all_models()) {
    const double x[] = {0.7, -0.4}, y = spec.family == Family("multinomial") ? 1 : 0.9;
    const auto at = to_vector(spec, p);
    std::vector<double> s(at.size());
    ASSERT_EQ(static_cast<int64_t>(at.size()), free_parameters(spec, 2));
    score(spec, p, x, y, s.data());
    for (size_t j = 0; j < at.size(); ++j) {
      auto above = at, below = at;
      above[j] += 1e-5, below[j] -= 1e-5;
      const double wanted = (log_density(spec, from_vector(spec, 2, above), x, y) -
                             log_density(spec, from_vector(spec, 2, below), x, y)) /
                            2e-5;
      EXPECT_NEAR(s[j], wanted, 1e-8) << name_of(spec.family) << " " << name_of(spec.gate.kind) << " " << j;
    }
  }
}

TEST(Score, VectorsComeBackAsTheyWere) {
  for (const auto& [spec, p] : all_models()) {
    const auto q = from_vector(spec, 2, to_vector(spec, p));
    EXPECT_EQ(q.gate_slope, p.gate_slope);
    EXPECT_EQ(q.slope, p.slope);
    if (spec.family == Family("multinomial")) continue;
    for (size_t k = 0; k < p.scale.size(); ++k) EXPECT_NEAR(q.scale[k], p.scale[k], 1e-15);
  }
}

// One normal expert has closed-form errors: s² (X'X)⁻¹ for the coefficients, s / sqrt(2n) for the scale.
TEST(Inference, OneNormalExpertHasTheTextbookErrors) {
  const Sample sample = crossing_lines(200, 1);
  MixtureSpec spec;
  spec.experts = 1;
  const auto result = fit(sample.view(), spec, 0);
  const auto inference = infer(result, sample.view());
  double sx = 0, sxx = 0;
  for (const double x : sample.x) sx += x, sxx += x * x;
  const double n = 200, determinant = n * sxx - sx * sx, s = result.parameters.scale[0];
  EXPECT_NEAR(*inference.error[0], s * std::sqrt(sxx / determinant), 1e-6);
  EXPECT_NEAR(*inference.error[1], s * std::sqrt(n / determinant), 1e-6);
  EXPECT_NEAR(*inference.error[2], s / std::sqrt(2 * n), 1e-6);
}

// Errors are promises about repetition: over many samples estimates scatter as much as the errors say.
TEST(Inference, ErrorsMatchTheScatterOverSamples) {
  constexpr int kSamples = 100;
  const auto truth = crossing_lines_truth();
  const auto target = to_vector({}, truth);
  std::vector<double> z(target.size(), 0.0), robust(target.size(), 0.0);
  for (int i = 0; i < kSamples; ++i) {
    const Sample sample = crossing_lines(600, static_cast<uint64_t>(100 + i));
    const auto result = fit_from(sample.view(), {}, truth);
    const auto inference = infer(result, sample.view());
    for (size_t j = 0; j < target.size(); ++j) {
      const double wanted = inference.parameter[j].logarithmic() ? std::exp(target[j]) : target[j];
      z[j] += std::pow((inference.estimate[j] - wanted) / inference.error[j].value(), 2) / kSamples;
      robust[j] +=
          std::pow((inference.estimate[j] - wanted) / inference.robust_error[j].value(), 2) / kSamples;
    }
  }
  for (size_t j = 0; j < target.size();
       ++j) {  // a mean of 100 squared normals: 1 ± 0.14, so within four of its deviations
    EXPECT_NEAR(z[j], 1, 0.56) << j;
    EXPECT_NEAR(robust[j], 1, 0.56) << j;
  }
}

TEST(Inference, LeavesOutWhatTheDataDoNotDetermine) {
  MixtureSpec spec;
  spec.gate.kind = GateKind("dense_to_sparse"), spec.gate.activation = Activation::kIdentity;
  const Sample sample = crossing_lines(2000, 3);
  for (const double tolerance : {1e-10, 1e-6}) {  // also where the fit ended before the maximum
    FitOptions options;
    options.tolerance = tolerance;
    const auto result = fit(sample.view(), spec, 1, options);
    const auto inference = infer(result, sample.view());
    EXPECT_TRUE(inference.error[0]);                         // bias of the gate
    EXPECT_FALSE(inference.error[1] || inference.error[2]);  // its slope and the temperature: one ratio
    for (size_t j = 3; j < inference.error.size(); ++j) EXPECT_TRUE(inference.error[j]) << j;
    EXPECT_EQ(inference.warnings.size(), 1u);
  }
}

TEST(Inference, CriteriaCountWhatTheyShould) {
  const Sample sample = crossing_lines(500, 4);
  const auto result = fit(sample.view(), {}, 1);
  const auto c = criteria(result, sample.view());
  EXPECT_EQ(c.parameters, 2 + 2 * 3);
  EXPECT_NEAR(c.aic, -2 * result.log_likelihood + 16, 1e-9);
  EXPECT_NEAR(c.bic, -2 * result.log_likelihood + 8 * std::log(500), 1e-9);
  EXPECT_GT(c.entropy, 0);
  EXPECT_NEAR(c.icl, c.bic + 2 * c.entropy, 1e-9);
}

TEST(Inference, CriteriaAndValidationChooseTheTrueNumberOfExperts) {
  const Sample sample = crossing_lines(600, 5);
  FitOptions options;
  options.starts = 5;
  std::vector<double> bic, held_out;
  for (const int64_t k : {1, 2, 3}) {
    MixtureSpec spec;
    spec.experts = k;
    bic.push_back(criteria(fit(sample.view(), spec, 1, options), sample.view()).bic);
    held_out.push_back(cross_validate(sample.view(), spec, 5, 1, options).mean);
  }
  EXPECT_LT(bic[1], bic[0]);
  EXPECT_LT(bic[1], bic[2]);
  EXPECT_GT(held_out[1], held_out[0] + 0.5);
  EXPECT_THROW(cross_validate(sample.view(), {}, 1, 0), gw::ValueError);
}

TEST(Inference, OrderOfTheExpertsDoesNotDependOnTheStart) {
  const Sample sample = crossing_lines(500, 6);
  auto swapped = crossing_lines_truth();
  const auto first = fit_from(sample.view(), {}, swapped);
  swapped = reorder({}, swapped, {1, 0});
  const auto second = fit_from(sample.view(), {}, swapped);
  const auto a = reorder({}, first.parameters, canonical_order(first, sample.view()));
  const auto b = reorder({}, second.parameters, canonical_order(second, sample.view()));
  EXPECT_GT(std::abs(first.parameters.slope[0] - second.parameters.slope[0]), 1)
      << "the starts are not swapped: nothing is tested";
  for (size_t k = 0; k < 2; ++k) {
    EXPECT_NEAR(a.slope[k], b.slope[k], 1e-5);
    EXPECT_NEAR(a.gate_slope[k], b.gate_slope[k], 1e-4);
  }
  EXPECT_NEAR(log_likelihood({}, a, sample.view()), first.log_likelihood, 1e-8);
}

TEST(Predict, QuantilesInvertTheDistribution) {
  for (const auto& [spec, p] : all_models()) {
    if (spec.family == Family("multinomial")) continue;
    const double x[] = {0.7, -0.4};
    for (const double probability : {0.01, 0.3, 0.5, 0.999}) {
      EXPECT_NEAR(mixture_cdf(spec, p, x, mixture_quantile(spec, p, x, probability)), probability, 1e-9);
    }
  }
}

// The distribution function is the integral of the density: ties the two, and the incomplete beta function,
// together.
TEST(Predict, DistributionIsTheIntegralOfTheDensity) {
  for (const auto& [spec, p] : all_models()) {
    if (spec.family == Family("multinomial")) continue;
    const double x[] = {0.7, -0.4}, from = -1.5, to = 2.3, step = 1e-4;
    double integral = 0;
    for (double y = from + step / 2; y < to; y += step)
      integral += std::exp(log_density(spec, p, x, y)) * step;
    EXPECT_NEAR(mixture_cdf(spec, p, x, to) - mixture_cdf(spec, p, x, from), integral, 1e-7)
        << name_of(spec.family);
  }
}

TEST(Predict, IntervalsCoverNewRows) {
  const Sample train = crossing_lines(3000, 7), test = crossing_lines(3000, 8);
  const auto result = fit(train.view(), {}, 1);
  const auto inference = infer(result, train.view());
  int inside = 0;
  for (size_t i = 0; i < test.y.size(); ++i) {
    const auto p = predict({}, result.parameters, &test.x[i], 0.9, i < 3 ? &inference : nullptr);
    inside += test.y[i] >= p.low && test.y[i] <= p.high;
    if (i < 3) {
      EXPECT_GT(p.mean_error.value(), 0.001);
      EXPECT_LT(p.mean_error.value(), 0.3);
    }
  }
  EXPECT_NEAR(inside / 3000.0, 0.9, 0.02);  // deviation 0.0055
}

TEST(Predict, ClassesAreProbabilities) {
  MixtureSpec spec;
  spec.family = Family("multinomial"), spec.classes = 3;
  auto p = make_parameters(spec, 1);
  p.intercept = {2, 0, -1, 3};
  const double x = 0;
  const auto prediction = predict(spec, p, &x, 0.9);
  ASSERT_EQ(prediction.classes.size(), 3u);
  EXPECT_NEAR(prediction.classes[0] + prediction.classes[1] + prediction.classes[2], 1, 1e-14);
  EXPECT_EQ(prediction.mean, 1);
}

// A dummy with a single 1 is constant outside the fold that holds its row.
TEST(CrossValidation, FoldsWithoutARareLevelLeaveItsColumnOut) {
  const Sample sample = crossing_lines(60, 4);
  std::vector<double> x;
  for (size_t i = 0; i < 60; ++i) x.push_back(sample.x[i]), x.push_back(i == 17 ? 1 : 0);
  MixtureSpec spec;
  spec.experts = 1;
  const auto result = cross_validate({60, 2, x.data(), sample.y.data(), nullptr}, spec, 5, 1);
  EXPECT_EQ(result.fold.size(), 5u);
  for (const double value : result.fold) EXPECT_TRUE(std::isfinite(value));
}

// One row of class 2 in 40: the fold that holds it cannot be judged, and says which one it is and what to do.
TEST(CrossValidation, AFoldThatHoldsAllOfAClassIsRefusedByName) {
  Sample sample = crossing_lines(40, 4);
  for (size_t i = 0; i < 40; ++i) sample.y[i] = i == 7 ? 2 : static_cast<double>(i % 2);
  MixtureSpec spec;
  spec.experts = 1, spec.family = Family("multinomial"), spec.classes = 3;
  try {
    cross_validate(sample.view(), spec, 5, 1);
    FAIL() << "nothing was refused";
  } catch (const gw::ValueError& error) {
    const std::string text = error.what();
    for (const char* part : {"fold ", "every row of class 3 of 3", "merge rare classes"}) {
      EXPECT_NE(text.find(part), std::string::npos) << text;
    }
  }
}

}  // namespace
