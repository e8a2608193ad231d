// Every family and every gate: rising likelihood, recovery of the parameters that made the data, agreement
// with the plain densities.
#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/fit.h"
#include "gatewright/likelihood/inference.h"
#include "tests/likelihood/samples.h"

namespace {

using namespace gw::likelihood;
using gw::test::draw_sample;
using gw::test::Sample;

struct Model {
  std::string name;
  MixtureSpec spec;
  MixtureParameters truth;
};

MixtureParameters regression_truth(const MixtureSpec& spec) {
  auto p = make_parameters(spec, 1);
  p.gate_bias = {0.3, 0}, p.gate_slope = {3, 0};
  if (spec.family == Family("multinomial")) {
    p.intercept = {1, -1}, p.slope = {6, -6};
  } else {
    p.intercept = {2, -2}, p.slope = {-3, 4}, p.scale = {0.4, 0.6};
  }
  if (spec.family == Family("student_t")) p.freedom = {3, 4};
  return p;
}

std::vector<Model> models() {
  std::vector<Model> result;
  const auto add = [&](const std::string& name, auto change) {
    MixtureSpec spec;
    change(spec);
    result.push_back({name, spec, regression_truth(spec)});
  };
  add("laplace", [](MixtureSpec& s) { s.family = Family("laplace"); });
  add("student_t", [](MixtureSpec& s) { s.family = Family("student_t"); });
  add("multinomial", [](MixtureSpec& s) { s.family = Family("multinomial"); });
  add("modified", [](MixtureSpec& s) { s.gate.kind = GateKind("modified"), s.gate.input_scale = 3; });
  add("modified_multinomial", [](MixtureSpec& s) {
    s.family = Family("multinomial"), s.gate.kind = GateKind("modified"), s.gate.input_scale = 3;
  });
  add("temperature_tanh", [](MixtureSpec& s) { s.gate.kind = GateKind("dense_to_sparse"); });
  result.back().truth.temperature = 0.4;
  add("temperature_linear", [](MixtureSpec& s) {
    s.gate.kind = GateKind("dense_to_sparse"), s.gate.activation = Activation::kIdentity;
  });
  add("temperature_sigmoid", [](MixtureSpec& s) {
    s.gate.kind = GateKind("dense_to_sparse"), s.gate.activation = Activation::kSigmoid;
  });
  add("top_1", [](MixtureSpec& s) { s.gate.kind = GateKind("top_k"); });
  add("top_2_of_2", [](MixtureSpec& s) { s.gate.kind = GateKind("top_k"), s.gate.top_k = 2; });
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
  for (size_t i = 1; i < result.trace.size(); ++i)
    ASSERT_GE(result.trace[i], result.trace[i - 1] - 1e-9 * std::abs(result.trace[i - 1])) << i;
  EXPECT_NEAR(result.log_likelihood, log_likelihood(spec, result.parameters, sample.view()),
              1e-8 * std::abs(result.log_likelihood));
  // The maximum is above the truth, by half a chi-square of as many degrees of freedom as parameters: 15
  // would be a miracle.
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
  // Two logistic curves under a gate are hardly told apart (deviations of 0.8 at this n), but the
  // probabilities are.
  for (double x = -2; x <= 2; x += 0.125) {
    if (spec.family != Family("multinomial")) break;
    EXPECT_NEAR(std::exp(log_density(spec, result.parameters, &x, 0)),
                std::exp(log_density(spec, truth, &x, 0)), 0.02)
        << x;
  }
  const double tolerance = spec.family == Family("multinomial") ? 3 : 0.06;
  for (size_t k = 0; k < 2; ++k) {
    EXPECT_NEAR(result.parameters.intercept[k], truth.intercept[k], tolerance) << k;
    EXPECT_NEAR(result.parameters.slope[k], truth.slope[k], tolerance) << k;
    if (spec.family != Family("multinomial")) {
      EXPECT_NEAR(result.parameters.scale[k], truth.scale[k], 0.03) << k;
    }
    if (spec.family == Family("student_t")) {
      EXPECT_NEAR(result.parameters.freedom[k], truth.freedom[k], 0.5) << k;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Models, testing::ValuesIn(models()),
                         [](const auto& parameter) { return parameter.param.name; });

TEST(ModelCases, LinearTemperatureStaysOnItsRidgeAndTanhLeavesIt) {
  for (const bool linear : {true, false}) {
    MixtureSpec spec;
    spec.gate.kind = GateKind("dense_to_sparse"),
    spec.gate.activation = linear ? Activation::kIdentity : Activation::kTanh;
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

// A border between two experts at x = 0.35 is found from a start at x = 0: no slope of the likelihood leads
// there.
TEST(ModelCases, TopOneMovesItsBorder) {
  MixtureSpec spec;
  spec.gate.kind = GateKind("top_k");
  auto truth = regression_truth(spec);
  truth.gate_bias = {-0.35 * 3, 0};
  const Sample sample = draw_sample(spec, truth, 4000, 5);
  auto start = truth;
  start.gate_bias = {0, 0};
  const auto p = fit_from(sample.view(), spec, start).parameters;
  EXPECT_NEAR(-p.gate_bias[0] / p.gate_slope[0], 0.35, 0.01);
}

/// One line with noise of `freedom` degrees of freedom; 0: normal noise.
Sample line_with_tails(double freedom, int64_t n, uint64_t seed) {
  MixtureSpec spec;
  spec.experts = 1, spec.family = freedom > 0 ? Family("student_t") : Family("gaussian");
  auto truth = make_parameters(spec, 1);
  truth.intercept = {1}, truth.slope = {2}, truth.scale = {0.5};
  if (freedom > 0) truth.freedom = {freedom};
  return draw_sample(spec, truth, n, seed);
}

// Degrees of freedom that belong at infinity: by the expectation over latent precisions they crept there for
// hundreds of iterations.
TEST(StudentTails, OfANormalEndAtTheirBoundAndSaySo) {
  MixtureSpec spec;
  spec.experts = 1, spec.family = Family("student_t");
  int held = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    const Sample sample = line_with_tails(0, 2000, seed);
    const auto result = fit(sample.view(), spec, 1);
    EXPECT_TRUE(result.converged) << seed;
    EXPECT_LE(result.iterations, 30) << seed;
    for (size_t i = 1; i < result.trace.size(); ++i)
      ASSERT_GE(result.trace[i], result.trace[i - 1] - 1e-9 * std::abs(result.trace[i - 1])) << seed;
    const bool bound = result.parameters.freedom[0] > 199;
    held += bound;
    ASSERT_EQ(result.warnings.size(), bound ? 1u : 0u) << seed;
    if (bound) {
      EXPECT_NE(result.warnings[0].find("expert 1 has the tails of a normal"), std::string::npos)
          << result.warnings[0];
    }
    EXPECT_EQ(infer(result, sample.view()).error.back().has_value(), !bound)
        << seed;  // the last parameter is ν
    MixtureSpec normal = spec;
    normal.family = Family("gaussian");
    // With 1/200 in place of 0, what is lost is about its slope over 200: deviation sqrt(1.5 n) / 200 = 0.27.
    EXPECT_GT(result.log_likelihood, fit(sample.view(), normal, 1).log_likelihood - 1.5) << seed;
  }
  EXPECT_GE(held, 3);  // half of the samples of a normal have lighter tails than it
}

TEST(StudentTails, AreRecoveredWithinTheirErrors) {
  MixtureSpec spec;
  spec.experts = 1, spec.family = Family("student_t");
  double squares = 0;
  int count = 0, within = 0;
  for (const double freedom : {3.0, 4.0, 5.0}) {
    for (uint64_t seed = 1; seed <= 20; ++seed, ++count) {
      const Sample sample = line_with_tails(freedom, 2000, seed);
      const auto result = fit(sample.view(), spec, 1);
      const auto inference = infer(result, sample.view());
      ASSERT_TRUE(result.converged && inference.error.back());
      const double at = result.parameters.freedom[0],
                   z = std::log(at / freedom) * at / *inference.error.back();
      squares += z * z, within += std::abs(z) < 1;
      EXPECT_LT(std::abs(z), 4) << freedom << " " << seed;
      for (const double factor : {0.98, 1.02}) {  // a maximum
        auto beside = result.parameters;
        beside.freedom[0] *= factor;
        EXPECT_LT(log_likelihood(spec, beside, sample.view()), result.log_likelihood)
            << freedom << " " << seed;
      }
    }
  }
  // Of 60: mean square 1 ± 0.18, 41 ± 3.6 within one error.
  EXPECT_GT(squares / count, 0.45);
  EXPECT_LT(squares / count, 1.75);
  EXPECT_GT(within, 27);
}

}  // namespace
