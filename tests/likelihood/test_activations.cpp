// Gates with activations of the catalogue: the information of a fit against differences of its score, and
// how they are named.
#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/base/error.h"
#include "gatewright/likelihood/information.h"
#include "gatewright/likelihood/mixture.h"
#include "tests/likelihood/samples.h"

namespace {

using namespace gw::likelihood;
using gw::test::Sample;

MixtureSpec spec_of(GateKind kind, const std::string& activation) {
  MixtureSpec spec;
  spec.experts = 3, spec.gate.kind = kind, spec.gate.activation = Activation(activation);
  return spec;
}

TEST(GateActivation, InformationMatchesDifferencesOfTheScore) {
  Sample sample;
  for (int i = 0; i < 31; ++i)
    sample.x.push_back(0.2 * (i - 15)), sample.y.push_back(0.01 * i * i + std::sin(7.0 * i));
  for (const auto& [kind, text] :
       std::vector<std::pair<GateKind, const char*>>{{GateKind("dense_to_sparse"), "golu(gamma=2)"},
                                                     {GateKind("dense_to_sparse"), "mish"},
                                                     {GateKind("dense_to_sparse"), "softplus"},
                                                     {GateKind("modified"), "arctan_gate(alpha=0.2)"},
                                                     {GateKind("modified"), "softsign"}}) {
    const auto spec = spec_of(kind, text);
    auto p = make_parameters(spec, 1);
    double value = 0.3;
    for (auto* list : {&p.gate_bias, &p.gate_slope, &p.intercept, &p.slope}) {
      for (auto& entry : *list) entry = std::sin(value += 1.7);
    }
    pin_last_gate(spec, p);
    if (kind == GateKind("dense_to_sparse"))
      p.temperature = 0.7, p.gate_slope[2] = 0;  // as from_vector has it
    const Design design(sample.view(), spec);
    const auto sums = information(spec, p, design);
    const auto at = to_vector(spec, p);
    for (size_t j = 0; j < at.size(); ++j) {
      const auto near = [&](double step) {
        auto moved = at;
        moved[j] += step;
        return from_vector(spec, 1, moved);
      };
      const auto high = information(spec, near(1e-5), design), low = information(spec, near(-1e-5), design);
      for (size_t i = 0; i < at.size(); ++i) {
        const double wanted = (low.gradient[i] - high.gradient[i]) / 2e-5;
        EXPECT_NEAR(sums.curvature[i * at.size() + j], wanted, 1e-6 * (1 + std::abs(wanted))) << text;
      }
    }
  }
}

TEST(GateActivation, TheFourOfOldHaveTheirBits) {
  for (double u = -6; u < 6; u += 0.37) {
    EXPECT_EQ(Activation::kTanh.value(u), std::tanh(u));
    EXPECT_EQ(Activation::kTanh.slope(u), 1 - std::tanh(u) * std::tanh(u));
    const double s = u >= 0 ? 1 / (1 + std::exp(-u)) : std::exp(u) / (1 + std::exp(u));
    EXPECT_EQ(Activation::kSigmoid.value(u), s);
    EXPECT_EQ(Activation::kSigmoid.slope(u), s * (1 - s));
    EXPECT_EQ(Activation::kGelu.value(u), 0.5 * u * std::erfc(-u / std::sqrt(2.0)));
    EXPECT_EQ(Activation::kGelu.slope(u),
              0.5 * std::erfc(-u / std::sqrt(2.0)) + u * std::exp(-0.5 * u * u) / std::sqrt(2 * M_PI));
    EXPECT_EQ(Activation::kIdentity.value(u), u);
  }
}

TEST(GateActivation, IsNamedAndRefused) {
  EXPECT_EQ(name_of(activation("golu(gamma=2)")), "golu(gamma=2)");
  EXPECT_TRUE(activation("none") == Activation::kIdentity);
  EXPECT_THROW(activation("tahn"), gw::ValueError);
  EXPECT_THROW(activation("helu"), gw::ValueError) << "its slope is no derivative";
  EXPECT_THROW(check_spec(spec_of(GateKind("modified"), "gelu"), 1), gw::ValueError) << "not bounded";
  check_spec(spec_of(GateKind("modified"), "hard_tanh"), 1);
}

}  // namespace
