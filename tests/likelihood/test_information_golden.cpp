// Every number that a fit prints, against 50-digit arithmetic that shares no rule of differentiation with the
// library:
// tests/likelihood/make_information_golden.py says what was computed and how.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <string>

#include "gatewright/likelihood/inference.h"
#include "gatewright/likelihood/information.h"
#include "gatewright/likelihood/predict.h"
#include "gatewright/likelihood/score.h"
#include "tests/likelihood/golden_cases.h"

namespace {

using namespace gw::likelihood;
using gw::Json;
using gw::test::for_each_golden;
using gw::test::GoldenCase;

constexpr double kRelative = 1e-9;

void expect_near(double got, double wanted, double unit, const std::string& what) {
  EXPECT_LE(std::abs(got - wanted), kRelative * std::max(std::abs(wanted), unit))
      << what << ": got " << got << ", wanted " << wanted;
}

TEST(Golden, HoldsEveryFamilyWithEveryGate) {
  std::set<std::string> names;
  for_each_golden([&](const GoldenCase& c, const Json&) { names.insert(c.name); });
  EXPECT_EQ(names.size(), 4u * 9 * 2);
}

TEST(Golden, LikelihoodAndCriteria) {
  for_each_golden([](const GoldenCase& c, const Json& wanted) {
    SCOPED_TRACE(c.name);
    const auto fit = c.fit();
    const auto got = criteria(fit, c.view());
    expect_near(fit.log_likelihood, wanted["log_likelihood"], 0, "log-likelihood");
    expect_near(got.aic, wanted["aic"], 0, "AIC");
    expect_near(got.bic, wanted["bic"], 0, "BIC");
    expect_near(got.icl, wanted["icl"], 0, "ICL");
  });
}

// Sums of terms of either sign: relative to what a sum is known by, the square root of its own information.
TEST(Golden, Score) {
  for_each_golden([](const GoldenCase& c, const Json& wanted) {
    SCOPED_TRACE(c.name);
    const auto sums = score_sums(c.spec, c.parameters, c.view(), Products::kNone);
    for (size_t i = 0; i < sums.gradient.size(); ++i) {
      const double own = wanted["information"][i * (i + 3) / 2];
      expect_near(sums.gradient[i], wanted["score"][i], std::sqrt(std::abs(own)),
                  "score " + std::to_string(i));
    }
  });
}

// The library's information belongs to centred, scaled columns: the linear map between the two sets of
// coordinates takes the other there.
// The map shifts a gate's bias by slope · mean / T, which is linear where column 0 has the mean 0: in all
// cases but the one left out.
TEST(Golden, Information) {
  for_each_golden([](const GoldenCase& c, const Json& wanted) {
    SCOPED_TRACE(c.name);
    const Design design(c.view(), c.spec);
    if (c.spec.gate.kind == GateKind("dense_to_sparse") && std::abs(design.gate_units()[0].mean) > 1e-6)
      return;
    const auto standard = design.to_standard(c.parameters);
    const auto got = information(c.spec, standard, design).curvature;
    const auto map = to_data_map(c.spec, standard, design);
    const size_t size = wanted["score"].size();
    Matrix natural(size * size), transposed(size * size);
    for (size_t i = 0; i < size * size; ++i) {
      const size_t a = std::max(i / size, i % size), b = std::min(i / size, i % size);
      natural[i] = wanted["information"][a * (a + 1) / 2 + b];
      transposed[i] = map[i % size * size + i / size];
    }
    const auto moved = product(product(transposed, natural, size), map, size);
    for (size_t i = 0; i < size * size; ++i) {
      const double unit = std::sqrt(std::abs(moved[i / size * (size + 1)] * moved[i % size * (size + 1)]));
      expect_near(got[i], moved[i], unit,
                  "information " + std::to_string(i / size) + ", " + std::to_string(i % size));
    }
  });
}

void expect_errors(const std::vector<std::optional<double>>& got, const Json& wanted,
                   const std::string& what) {
  if (wanted.is_null()) return;
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].has_value(), !wanted[i].is_null()) << what << " " << i;
    if (got[i] && !wanted[i].is_null()) expect_near(*got[i], wanted[i], 0, what + " " + std::to_string(i));
  }
}

TEST(Golden, StandardAndRobustErrors) {
  for_each_golden([](const GoldenCase& c, const Json& wanted) {
    SCOPED_TRACE(c.name);
    const auto got = infer(c.fit(), c.view());
    expect_errors(got.error, wanted["error"], "error");
    expect_errors(got.robust_error, wanted["robust_error"], "robust error");
  });
}

TEST(Golden, MeansAndTheirErrors) {
  for_each_golden([](const GoldenCase& c, const Json& wanted) {
    SCOPED_TRACE(c.name);
    if (c.spec.family == Family("multinomial")) return;
    const auto inference = infer(c.fit(), c.view());
    for (const auto& at : wanted["predictions"]) {
      const auto x = at[0].get<std::vector<double>>();
      const auto got = predict(c.spec, c.parameters, x.data(), 0.95, &inference);
      expect_near(got.mean, at[1], 0, "mean");
      expect_near(got.mean_error.value_or(0), at[2], 0, "mean error");
    }
  });
}

}  // namespace
