// Every family and every gate: rising likelihood, recovery of the parameters that made the data, agreement with the plain densities.
#include <gtest/gtest.h>

#include <cmath>

#include "stats/density.h"
#include "stats/experts_robust.h"
#include "stats/fit.h"
#include "tests/stats/samples.h"

namespace {

using namespace gw::stats;
using gw::testing::draw_sample;
using gw::testing::Sample;

struct Model {
  std::string name;
  MixtureSpec spec;
  MixtureParameters truth;
};

MixtureParameters regression_truth(const MixtureSpec& spec) {
  auto p = make_parameters(spec, 1);
  p.gate_bias = {0.3, 0}, p.gate_slope = {3, 0};
  if (spec.family == Family::kMultinomial) {
    p.intercept = {1, -1}, p.slope = {6, -6};
  } else {
    p.intercept = {2, -2}, p.slope = {-3, 4}, p.scale = {0.4, 0.6};
  }
  if (spec.family == Family::kStudentT) p.freedom = {3, 4};
  return p;
}

std::vector<Model> models() {
  std::vector<Model> result;
  const auto add = [&](const std::string& name, auto change) {
    MixtureSpec spec;
    change(spec);
    result.push_back({name, spec, regression_truth(spec)});
  };
  add("laplace", [](MixtureSpec& s) { s.family = Family::kLaplace; });
  add("student_t", [](MixtureSpec& s) { s.family = Family::kStudentT; });
  add("multinomial", [](MixtureSpec& s) { s.family = Family::kMultinomial; });
  add("modified", [](MixtureSpec& s) { s.gate.kind = GateKind::kModified, s.gate.input_scale = 3; });
  add("modified_multinomial", [](MixtureSpec& s) { s.family = Family::kMultinomial, s.gate.kind = GateKind::kModified, s.gate.input_scale = 3; });
  add("temperature_tanh", [](MixtureSpec& s) { s.gate.kind = GateKind::kDenseToSparse; });
  result.back().truth.temperature = 0.4;
  add("temperature_linear", [](MixtureSpec& s) { s.gate.kind = GateKind::kDenseToSparse, s.gate.activation = Activation::kIdentity; });
  add("temperature_sigmoid", [](MixtureSpec& s) { s.gate.kind = GateKind::kDenseToSparse, s.gate.activation = Activation::kSigmoid; });
  add("top_1", [](MixtureSpec& s) { s.gate.kind = GateKind::kTopK; });
  add("top_2_of_2", [](MixtureSpec& s) { s.gate.kind = GateKind::kTopK, s.gate.top_k = 2; });
  add("constant_gates", [](MixtureSpec& s) { s.gate.columns = std::vector<int64_t>{}; });
  return result;
}

class Models : public testing::TestWithParam<Model> {};

TEST_P(Models, RiseAndReachTheTruthsLikelihood) {
  const auto& [name, spec, truth] = GetParam();
  const Sample sample = draw_sample(spec, truth, 3000, 1);
  FitOptions options;
  options.starts = 4, options.max_iterations = 500;
  const auto result = fit(sample.view(), spec, 1, options);
  for (size_t i = 1; i < result.trace.size(); ++i) ASSERT_GE(result.trace[i], result.trace[i - 1] - 1e-9 * std::abs(result.trace[i - 1])) << i;
  EXPECT_NEAR(result.log_likelihood, log_likelihood(spec, result.parameters, sample.view()), 1e-8 * std::abs(result.log_likelihood));
  // The maximum is above the truth, by half a chi-square of as many degrees of freedom as parameters: 15 would be a miracle.
  const double gain = result.log_likelihood - log_likelihood(spec, truth, sample.view());
  EXPECT_GT(gain, 0);
  EXPECT_LT(gain, 15);
}

TEST_P(Models, RecoverTheExperts) {
  const auto& [name, spec, truth] = GetParam();
  const Sample sample = draw_sample(spec, truth, 40000, 2);
  FitOptions options;
  options.tolerance = 1e-8;
  const auto result = fit_from(sample.view(), spec, truth, options);
  // Two logistic curves under a gate are hardly told apart (deviations of 0.8 at this n), but the probabilities are.
  for (double x = -2; x <= 2; x += 0.125) {
    if (spec.family != Family::kMultinomial) break;
    EXPECT_NEAR(std::exp(log_density(spec, result.parameters, &x, 0)), std::exp(log_density(spec, truth, &x, 0)), 0.02) << x;
  }
  const double tolerance = spec.family == Family::kMultinomial ? 3 : 0.06;
  for (size_t k = 0; k < 2; ++k) {
    EXPECT_NEAR(result.parameters.intercept[k], truth.intercept[k], tolerance) << k;
    EXPECT_NEAR(result.parameters.slope[k], truth.slope[k], tolerance) << k;
    if (spec.family != Family::kMultinomial) {
      EXPECT_NEAR(result.parameters.scale[k], truth.scale[k], 0.03) << k;
    }
    if (spec.family == Family::kStudentT) {
      EXPECT_NEAR(result.parameters.freedom[k], truth.freedom[k], 0.5) << k;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Models, testing::ValuesIn(models()), [](const auto& parameter) { return parameter.param.name; });

TEST(ModelCases, LinearTemperatureStaysOnItsRidgeAndTanhLeavesIt) {
  for (const bool linear : {true, false}) {
    MixtureSpec spec;
    spec.gate.kind = GateKind::kDenseToSparse, spec.gate.activation = linear ? Activation::kIdentity : Activation::kTanh;
    auto truth = regression_truth(spec);
    truth.temperature = 0.4, truth.gate_slope = {linear ? 0.7 : 3.0, 0};
    const Sample sample = draw_sample(spec, truth, 20000, 4);
    auto start = truth;
    start.temperature *= 1.3, start.gate_slope[0] *= 1.3;
    const auto p = fit_from(sample.view(), spec, start).parameters;
    EXPECT_NEAR(p.gate_slope[0] / p.temperature, truth.gate_slope[0] / truth.temperature, linear ? 0.2 : 1);
    if (linear) {
      EXPECT_GT(p.temperature, 0.45) << "the flat direction must not be pulled anywhere";
    } else {
      EXPECT_NEAR(p.temperature, 0.4, 0.05);
    }
  }
}

// A border between two experts at x = 0.35 is found from a start at x = 0: no slope of the likelihood leads there.
TEST(ModelCases, TopOneMovesItsBorder) {
  MixtureSpec spec;
  spec.gate.kind = GateKind::kTopK;
  auto truth = regression_truth(spec);
  truth.gate_bias = {-0.35 * 3, 0};
  const Sample sample = draw_sample(spec, truth, 4000, 5);
  auto start = truth;
  start.gate_bias = {0, 0};
  const auto p = fit_from(sample.view(), spec, start).parameters;
  EXPECT_NEAR(-p.gate_bias[0] / p.gate_slope[0], 0.35, 0.01);
}

TEST(ModelCases, DigammaMatchesKnownValues) {
  EXPECT_NEAR(digamma(1), -0.57721566490153286, 1e-12);
  EXPECT_NEAR(digamma(0.5), -1.9635100260214235, 1e-12);
  EXPECT_NEAR(digamma(10), 2.2517525890667211, 1e-12);
}

}  // namespace
