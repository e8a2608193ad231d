#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/base/error.h"
#include "gatewright/likelihood/density.h"

namespace {

using namespace gw::likelihood;

/// Two experts in one dimension, all numbers different.
MixtureParameters small_parameters(const MixtureSpec& spec) {
  auto p = make_parameters(spec, 1);
  p.gate_bias = {0.4, 0}, p.gate_slope = {-1.5, 0};
  p.intercept = {1, -2}, p.slope = {0.5, 3}, p.scale = {0.7, 1.3};
  if (!p.freedom.empty()) p.freedom = {3, 8};
  return p;
}

// The integral over y is 1 for every family: a wrong constant, a missing scale or a gate that does not sum to
// 1 shows.
TEST(Density, IntegratesToOne) {
  for (const Family family : {Family("gaussian"), Family("laplace"), Family("student_t")}) {
    for (const GateKind kind :
         {GateKind("softmax"), GateKind("top_k"), GateKind("dense_to_sparse"), GateKind("modified")}) {
      MixtureSpec spec;
      spec.family = family, spec.gate.kind = kind;
      auto p = small_parameters(spec);
      p.temperature = 0.6;
      const double x = 0.8, from = -400, step = 5e-3;
      double integral = 0;
      for (int64_t i = 0; i < 160000; ++i)
        integral += std::exp(log_density(spec, p, &x, from + step * (static_cast<double>(i) + 0.5))) * step;
      EXPECT_NEAR(integral, 1, 2e-6) << name_of(family) << " " << name_of(kind);
    }
  }
}

TEST(Density, ClassProbabilitiesSumToOne) {
  MixtureSpec spec;
  spec.family = Family("multinomial"), spec.classes = 3;
  auto p = make_parameters(spec, 1);
  p.gate_bias = {0.4, 0}, p.intercept = {1, -2, 0.3, 0.8}, p.slope = {2, -1, 0.5, 3};
  const double x = 0.8;
  double sum = 0;
  for (const double y : {0, 1, 2}) sum += std::exp(log_density(spec, p, &x, y));
  EXPECT_NEAR(sum, 1, 1e-14);
}

TEST(Density, MatchesAHandComputedMixture) {
  const MixtureSpec spec;
  const auto p = small_parameters(spec);
  const double x = 2, y = 1.1;
  const double z = 0.4 - 1.5 * 2, first = 1 / (1 + std::exp(-z));
  const auto normal = [](double r, double s) {
    return std::exp(-0.5 * r * r / (s * s)) / (s * std::sqrt(2 * M_PI));
  };
  const double wanted = first * normal(1.1 - 2, 0.7) + (1 - first) * normal(1.1 - 4, 1.3);
  double responsibility[2];
  EXPECT_NEAR(log_density(spec, p, &x, y, responsibility), std::log(wanted), 1e-13);
  EXPECT_NEAR(responsibility[0], first * normal(1.1 - 2, 0.7) / wanted, 1e-13);
}

TEST(Density, TopKSelectsByBiasOrWithoutIt) {
  MixtureSpec spec;
  spec.experts = 3, spec.gate.kind = GateKind("top_k"), spec.gate.top_k = 2;
  auto p = make_parameters(spec, 1);
  p.gate_bias = {-9, 1, 0}, p.gate_slope = {3, 1, 0};
  const double x = 1;  // scores 3, 1, 0 without the biases and -6, 2, 0 with them
  double out[3];
  log_gates(spec, p, &x, out);
  EXPECT_EQ(std::exp(out[0]), 0);
  EXPECT_NEAR(std::exp(out[1]), 1 / (1 + std::exp(-2)), 1e-15);
  spec.gate.select_with_bias = false;
  log_gates(spec, p, &x, out);
  EXPECT_EQ(std::exp(out[2]), 0);
  EXPECT_NEAR(std::exp(out[0]), 1 / (1 + std::exp(8)), 1e-15);
}

TEST(Density, TemperatureAndSlopeOfALinearGateAreOneParameter) {
  MixtureSpec spec;
  spec.gate.kind = GateKind("dense_to_sparse");
  auto p = small_parameters(spec), scaled = p;
  scaled.temperature = 1.3, scaled.gate_slope = {-1.5 * 1.3, 0};
  const double x = 0.37;
  double a[2], b[2];
  spec.gate.activation = Activation::kIdentity;
  log_gates(spec, p, &x, a), log_gates(spec, scaled, &x, b);
  EXPECT_NEAR(a[0], b[0], 1e-14);
  spec.gate.activation = Activation::kTanh;
  log_gates(spec, p, &x, a), log_gates(spec, scaled, &x, b);
  EXPECT_GT(std::abs(a[0] - b[0]), 1e-3);
}

TEST(Density, PinningChangesNoDensity) {
  for (const bool with_activation : {false, true}) {
    MixtureSpec spec;
    spec.gate.kind = GateKind("dense_to_sparse");
    spec.gate.activation = with_activation ? Activation::kTanh : Activation::kIdentity;
    auto p = small_parameters(spec);
    p.gate_bias = {0.4, -3}, p.gate_slope = {-1.5, 2}, p.temperature = 0.5;
    auto pinned = p;
    pin_last_gate(spec, pinned);
    EXPECT_EQ(pinned.gate_bias[1], 0);
    for (const double x : {-1.0, 0.2, 3.0})
      EXPECT_NEAR(log_density(spec, p, &x, 1), log_density(spec, pinned, &x, 1), 1e-12);
  }
}

TEST(Density, FarFromEveryExpertStaysFinite) {
  const MixtureSpec spec;
  auto p = small_parameters(spec);
  p.gate_slope = {-4000, 0};
  const double x = 3;
  double responsibility[2];
  EXPECT_TRUE(std::isfinite(log_density(spec, p, &x, 1e8, responsibility)));
  EXPECT_NEAR(responsibility[0] + responsibility[1], 1, 1e-12);
}

TEST(Density, RefusesModelsAndDataWithoutMeaning) {
  MixtureSpec spec;
  spec.experts = 0;
  EXPECT_THROW(check_spec(spec, 1), gw::ValueError);
  spec.experts = 2, spec.gate.kind = GateKind("top_k"), spec.gate.top_k = 3;
  EXPECT_THROW(check_spec(spec, 1), gw::ValueError);
  spec = {}, spec.columns = std::vector<int64_t>{4};
  EXPECT_THROW(check_spec(spec, 2), gw::ValueError);
  spec = {};
  const double x[] = {1, NAN}, y[] = {1, 2};
  try {
    check_data({2, 1, x, y, nullptr}, spec);
    FAIL();
  } catch (const gw::ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("row 2, column 1"), std::string::npos) << error.what();
  }
  EXPECT_THROW(gate_kind("softmx"), gw::ValueError);
}

}  // namespace
