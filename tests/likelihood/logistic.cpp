// A family that is added by this file alone: logistic noise, which has closed forms to compare with. Nothing
// below the tests knows its name.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "gatewright/base/json.h"
#include "gatewright/base/registry.h"
#include "gatewright/likelihood/fit_mixtures.h"
#include "gatewright/likelihood/location_scale.h"
#include "gatewright/likelihood/predict.h"
#include "gatewright/likelihood/predict_rows.h"
#include "gatewright/likelihood/theory/local_mle.h"
#include "gatewright/likelihood/theory/simulate.h"

namespace gw::likelihood {
namespace {

/// Density e^-r / (1 + e^-r)².
class Logistic : public LocationScale {
 public:
  static constexpr const char* kSummary = "logistic noise around a line";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {
    void fields(OptionVisitor&) override {}
  };
  Logistic(const Options&, const Context&) {}
  double constant(double scale, double) const override { return -std::log(scale); }
  double cost(double r, double) const override {
    return std::abs(r) + 2 * std::log1p(std::exp(-std::abs(r)));
  }
  double pull(double r, double) const override { return std::tanh(r / 2); }
  double pull_slope(double r, double) const override { return 0.5 * (1 - std::pow(std::tanh(r / 2), 2)); }
  double cdf(double r, double) const override { return 1 / (1 + std::exp(-r)); }
  double variance(double) const override { return std::numbers::pi * std::numbers::pi / 3; }
  double scale_information() const override { return (3 + std::numbers::pi * std::numbers::pi) / 9; }
};

constexpr double kScale = 0.5;

MixtureSpec logistic_spec(int64_t experts) {
  MixtureSpec spec;
  spec.experts = experts, spec.family = Family("logistic");
  return spec;
}

/// One line, or two that cross.
MixtureParameters truth_of(int64_t experts) {
  auto p = make_parameters(logistic_spec(experts), 1);
  if (experts == 1)
    p.intercept = {1}, p.slope = {2}, p.scale = {kScale};
  else
    p.gate_bias = {-0.5, 0}, p.gate_slope = {2.5, 0}, p.intercept = {1, -1}, p.slope = {-2, 3},
    p.scale = {0.2, 0.3};
  return p;
}

SimulatedData draws_of(int64_t experts, int64_t n) {
  return simulate(logistic_spec(experts), truth_of(experts), {InputDistribution::Kind::kUniform, -2, 2, 1}, n,
                  Rng(3));
}

/// Errors of the large sample: information 1/(3 s²) a row about the line, (3 + π²)/9 about log s.
TEST(NewFamily, OneExpertHasTheErrorsOfItsClosedForms) {
  constexpr int64_t kRows = 4000;
  const auto data = draws_of(1, kRows);
  const auto result = fit(data.view(), logistic_spec(1), 1);
  ASSERT_TRUE(result.converged);
  const auto inference = infer(result, data.view());
  const double root = std::sqrt(static_cast<double>(kRows));
  const double expected[] = {kScale * std::sqrt(3.0) / root,
                             kScale * std::sqrt(3.0) / root / (2 / std::sqrt(3.0)),
                             kScale / std::sqrt((3 + std::numbers::pi * std::numbers::pi) / 9) / root};
  const double truth[] = {1, 2, kScale};
  for (size_t j = 0; j < 3; ++j) {
    ASSERT_TRUE(inference.error[j]) << j;
    EXPECT_NEAR(*inference.error[j], expected[j], 0.06 * expected[j]) << j;
    EXPECT_NEAR(inference.estimate[j], truth[j], 4 * expected[j]) << j;
  }
  // The M-step ends where the score is zero: a wrong weight or scale would end elsewhere.
  for (const double sum : score_sums(result.spec, result.parameters, data.view(), Products::kNone).gradient)
    EXPECT_NEAR(sum, 0, 1e-2);
}

TEST(NewFamily, MixturesOfItAreFoundAndEveryIterationRises) {
  const auto data = draws_of(2, 1500);
  FitOptions options;
  options.starts = 4, options.accelerate = false, options.replacements = 0;
  const auto result = fit(data.view(), logistic_spec(2), 1, options);
  for (size_t i = 1; i < result.trace.size(); ++i)
    EXPECT_GE(result.trace[i], result.trace[i - 1] - 1e-9 * std::abs(result.trace[i])) << i;
  const auto& p = result.parameters;
  const size_t falling = p.slope[0] < p.slope[1] ? 0 : 1, rising = 1 - falling;
  EXPECT_NEAR(p.slope[falling], -2, 0.1);
  EXPECT_NEAR(p.slope[rising], 3, 0.1);
  EXPECT_NEAR(p.scale[falling], 0.2, 0.03);
  EXPECT_NEAR(p.scale[rising], 0.3, 0.03);
  const auto local = maximise_near(data.view(), logistic_spec(2), truth_of(2));
  EXPECT_TRUE(local.converged);
  EXPECT_NEAR(local.log_likelihood, result.log_likelihood, 1e-4) << "two ways to one maximum";
}

TEST(NewFamily, PredictsWithItsQuantiles) {
  const auto p = truth_of(1);
  const double x = 0.5, reach = kScale * std::log(0.975 / 0.025);
  const auto at = predict(logistic_spec(1), p, &x, 0.95);
  EXPECT_NEAR(at.mean, 2, 1e-12);
  EXPECT_NEAR(at.low, 2 - reach, 1e-9);
  EXPECT_NEAR(at.high, 2 + reach, 1e-9);
}

TEST(NewFamily, ComesBackFromItsModelFile) {
  const auto data = draws_of(1, 60);
  std::string text = "y,x\n";
  for (size_t i = 0; i < data.y.size(); ++i) text += fmt::format("{},{}\n", data.y[i], data.x[i]);
  const CsvTable table(text, "t.csv");
  FitRequest request;
  request.frame.response = "y", request.least_experts = request.most_experts = 1;
  request.spec.family = Family("logistic"), request.options.starts = 2;
  const auto model = fit_mixtures(table, request).model;
  const auto json = to_json(model);
  EXPECT_EQ(json["model"]["family"], "logistic");
  const auto again = mixture_from_json(Json::parse(json.dump()), "t.json");
  EXPECT_EQ(again.fit.spec.family, Family("logistic"));
  EXPECT_EQ(to_csv(predict_rows(again, table, 0.9, false, true)),
            to_csv(predict_rows(model, table, 0.9, false, true)));
}

}  // namespace
}  // namespace gw::likelihood

GW_REGISTER(gw::likelihood::Density, likelihood::Logistic);
