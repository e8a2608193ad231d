// What a fit prints does not depend on the units, the origin, or the order of what it is given: every number
// of every family with every gate, near a maximum, before and after a transformation whose effect on each
// number is known exactly and stated at the test.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <string>

#include "gatewright/base/rng.h"
#include "gatewright/likelihood/inference.h"
#include "gatewright/likelihood/predict.h"
#include "gatewright/likelihood/score.h"
#include "tests/likelihood/golden_cases.h"

namespace {

using namespace gw::likelihood;
using gw::Json;
using gw::test::for_each_golden;
using gw::test::GoldenCase;

constexpr double kRelative = 1e-7;

/// x'_j = shift_j + unit_j x_j and y' = y_shift + y_unit y.
struct Units {
  double shift[2] = {0, 0}, unit[2] = {1, 1}, y_shift = 0, y_unit = 1;
};

/// The model of the transformed rows: slopes times y_unit / unit, intercepts less what the shifts add, scales
/// times |y_unit|; a gate's bias less slope' · shift, over the temperature where there is one.
MixtureParameters moved(const GoldenCase& c, const MixtureParameters& from, const Units& u) {
  auto p = from;
  const auto columns = c.spec.columns.value_or(std::vector<int64_t>{0, 1});
  const double y_unit = c.spec.family == Family("multinomial") ? 1 : u.y_unit,
               y_shift = c.spec.family == Family("multinomial") ? 0 : u.y_shift;
  for (size_t k = 0; k < p.gate_slope.size(); ++k) {
    p.gate_slope[k] /= u.unit[0];
    p.gate_bias[k] -= p.gate_slope[k] * u.shift[0] / p.temperature;
  }
  for (size_t r = 0; r < p.intercept.size(); ++r) {
    p.intercept[r] = y_unit * p.intercept[r] + y_shift;
    for (size_t j = 0; j < columns.size(); ++j) {
      auto& slope = p.slope[r * columns.size() + j];
      slope *= y_unit / u.unit[columns[j]];
      p.intercept[r] -= slope * u.shift[columns[j]];
    }
  }
  for (auto& scale : p.scale) scale *= std::abs(y_unit);
  return p;
}

GoldenCase moved(const GoldenCase& c, const Units& u) {
  GoldenCase result = c;
  result.parameters = moved(c, c.parameters, u);
  for (size_t i = 0; i < c.x.size(); ++i) result.x[i] = u.shift[i % 2] + u.unit[i % 2] * c.x[i];
  for (auto& y : result.y) y = c.spec.family == Family("multinomial") ? y : u.y_shift + u.y_unit * y;
  return result;
}

std::vector<double> natural_vector(const MixtureSpec& spec, const MixtureParameters& p) {
  auto values = to_vector(spec, p);
  const auto list = free_parameter_list(spec, 2);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = list[i].logarithmic() ? std::exp(values[i]) : values[i];
  return values;
}

/// Jacobian of the estimates' transformation, which is a polynomial of degree two: central differences are
/// exact.
Matrix jacobian(const GoldenCase& c, const Units& u) {
  const auto at = to_vector(c.spec, c.parameters);
  const auto list = free_parameter_list(c.spec, 2);
  Matrix result(at.size() * at.size());
  for (size_t j = 0; j < at.size(); ++j) {
    const double value = list[j].logarithmic() ? std::exp(at[j]) : at[j],
                 step = 1e-4 * std::max(1e-2, std::abs(value));
    const auto column = [&](double to) {
      auto vector = at;
      vector[j] = list[j].logarithmic() ? std::log(to) : to;
      return natural_vector(c.spec, moved(c, from_vector(c.spec, 2, vector), u));
    };
    const auto high = column(value + step), low = column(value - step);
    for (size_t i = 0; i < at.size(); ++i) result[i * at.size() + j] = (high[i] - low[i]) / (2 * step);
  }
  return result;
}

void expect_near(double got, double wanted, double unit, const std::string& what) {
  EXPECT_LE(std::abs(got - wanted), kRelative * std::max(std::abs(wanted), unit))
      << what << ": got " << got << ", wanted " << wanted;
}

void expect_same(const std::vector<std::optional<double>>& got,
                 const std::vector<std::optional<double>>& wanted, double factor, const std::string& what) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].has_value(), wanted[i].has_value()) << what << " " << i;
    if (got[i] && wanted[i]) expect_near(*got[i], *wanted[i] * factor, 0, what + " " + std::to_string(i));
  }
}

/// Covariances move by the Jacobian of the transformation; what has no error keeps none. What rests on such a
/// parameter (the bias of a linear gate with a temperature, on slope over temperature) has its plain error
/// alone: the printed matrix leaves the slope out.
void expect_moved(const Inference& got, const Inference& wanted, const Matrix& by) {
  const size_t size = wanted.estimate.size();
  for (const bool robust : {false, true}) {
    const auto& errors = robust ? got.robust_error : got.error;
    const auto moved_matrix = product_transposed(
        product(by,
                robust ? wanted.robust_covariance : product_transposed(wanted.factor, wanted.factor, size),
                size),
        by, size);
    const auto rests = [&](size_t i) {  // on what is left out of the robust matrix
      for (size_t j = 0; j < size; ++j) {
        if (robust && !wanted.robust_error[j] && std::abs(by[i * size + j]) > 1e-9) return true;
      }
      return false;
    };
    for (size_t i = 0; i < size; ++i) {
      if (!errors[i] || rests(i)) continue;
      expect_near(*errors[i], std::sqrt(moved_matrix[i * (size + 1)]), 0,
                  (robust ? "robust " : "error ") + std::to_string(i));
      for (size_t j = 0; j < size; ++j) {
        if (!errors[j] || rests(j)) continue;
        expect_near((robust ? got.robust_covariance : got.covariance)[i * size + j],
                    moved_matrix[i * size + j], *errors[i] * *errors[j], "covariance");
      }
    }
  }
}

Prediction prediction(const GoldenCase& c, const Inference& inference, double x0, double x1) {
  const double x[] = {x0, x1};
  return predict(c.spec, c.parameters, x, 0.95, &inference);
}

void expect_predictions_moved(const GoldenCase& from, const Inference& a, const GoldenCase& to,
                              const Inference& b, const Units& u) {
  for (const double x0 : {-2.2, 0.7}) {
    const auto wanted = prediction(from, a, x0, 44),
               got = prediction(to, b, u.shift[0] + u.unit[0] * x0, u.shift[1] + u.unit[1] * 44);
    for (size_t k = 0; k < wanted.gate.size(); ++k) expect_near(got.gate[k], wanted.gate[k], 1, "gate");
    for (size_t s = 0; s < wanted.classes.size(); ++s)
      expect_near(got.classes[s], wanted.classes[s], 1, "class");
    if (from.spec.family == Family("multinomial")) continue;
    const double size = std::abs(u.y_unit) * (wanted.high - wanted.low);
    expect_near(got.mean, u.y_shift + u.y_unit * wanted.mean, size, "mean");
    ASSERT_TRUE(got.mean_error && wanted.mean_error) << x0;
    expect_near(*got.mean_error, std::abs(u.y_unit) * *wanted.mean_error, 0, "mean error");
    expect_near(got.low, u.y_shift + u.y_unit * (u.y_unit > 0 ? wanted.low : wanted.high), size, "low");
    expect_near(got.high, u.y_shift + u.y_unit * (u.y_unit > 0 ? wanted.high : wanted.low), size, "high");
  }
}

/// The likelihood of y' is that of y over |y_unit| for each unit of weight; criteria follow.
void expect_criteria_moved(const GoldenCase& from, const GoldenCase& to, double y_unit) {
  const double jacobian =
      from.spec.family == Family("multinomial") ? 0 : from.fit().weight * std::log(std::abs(y_unit));
  const auto a = criteria(from.fit(), from.view()), b = criteria(to.fit(), to.view());
  expect_near(b.log_likelihood, a.log_likelihood - jacobian, std::abs(a.log_likelihood), "log-likelihood");
  expect_near(b.aic, a.aic + 2 * jacobian, std::abs(a.aic), "AIC");
  expect_near(b.bic, a.bic + 2 * jacobian, std::abs(a.bic), "BIC");
  expect_near(b.icl, a.icl + 2 * jacobian, std::abs(a.icl), "ICL");
}

/// Which changes of column 0, the gate's, leave a model of the same kind: none where inputs pass through a
/// function one by one, none of the origin where scores without biases do, or are ranked.
bool gate_scales(const MixtureSpec& spec) { return spec.gate.kind != GateKind("modified"); }
bool gate_shifts(const MixtureSpec& spec) {
  return spec.gate.kind == GateKind("softmax") ||
         (spec.gate.kind == GateKind("top_k") && spec.gate.select_with_bias) ||
         (spec.gate.kind == GateKind("dense_to_sparse") && spec.gate.activation == Activation::kIdentity);
}

/// Cases at a maximum: whole repetitions of class responses are none, and which of their errors have a
/// meaning may hang by a thread.
template <class Body>
void for_each_maximum(Body body) {
  for_each_golden([&](const GoldenCase& c, const Json& wanted) {
    SCOPED_TRACE(c.name);
    if (!wanted["error"].is_null()) body(c);
  });
}

void check_units(Units u) {
  for_each_maximum([&](const GoldenCase& c) {
    Units used = u;
    if (!gate_scales(c.spec)) used.unit[0] = 1;
    if (!gate_shifts(c.spec)) used.shift[0] = 0;
    const auto to = moved(c, used);
    const auto a = infer(c.fit(), c.view()), b = infer(to.fit(), to.view());
    expect_moved(b, a, jacobian(c, used));
    for (size_t i = 0; i < a.error.size(); ++i)
      EXPECT_EQ(a.error[i].has_value(), b.error[i].has_value()) << i;
    EXPECT_EQ(a.warnings, b.warnings);
    expect_predictions_moved(c, a, to, b, used);
    expect_criteria_moved(c, to, used.y_unit);
  });
}

TEST(Invariance, UnitsOfTheInputs) { check_units({{0, 0}, {250, -1e-3}, 0, 1}); }
TEST(Invariance, OriginOfTheInputs) { check_units({{-70, 2000}, {1, 1}, 0, 1}); }
TEST(Invariance, UnitAndOriginOfTheResponse) {
  check_units({{0, 0}, {1, 1}, 0, 1e-4});
  check_units({{0, 0}, {1, 1}, -500, -30});
}
TEST(Invariance, AllUnitsAtOnce) { check_units({{3, -40}, {-0.1, 12}, 7, 5}); }

/// The same rows in another order, or said in another way: every number is the same.
void expect_alike(const GoldenCase& c, const GoldenCase& to, double errors = 1) {
  const auto a = infer(c.fit(), c.view()), b = infer(to.fit(), to.view());
  expect_same(b.error, a.error, errors, "error");
  expect_same(b.robust_error, a.robust_error, errors, "robust error");
  EXPECT_EQ(a.warnings, b.warnings);
  expect_predictions_moved(c, a, to, b, {});
  expect_criteria_moved(c, to, 1);
}

TEST(Invariance, OrderOfTheRows) {
  for_each_maximum([](const GoldenCase& c) {
    GoldenCase to = c;
    const auto order = gw::Rng(3).permutation(static_cast<int64_t>(c.y.size()));
    for (size_t i = 0; i < c.y.size(); ++i) {
      const auto from = static_cast<size_t>(order[i]);
      to.x[2 * i] = c.x[2 * from], to.x[2 * i + 1] = c.x[2 * from + 1], to.y[i] = c.y[from];
      if (!c.weight.empty()) to.weight[i] = c.weight[from];
    }
    expect_alike(c, to);
  });
}

// Weight 2 is the row twice.
TEST(Invariance, AWeightOfTwoIsTheRowTwice) {
  for_each_maximum([](const GoldenCase& c) {
    GoldenCase twice = c, heavy = c;
    heavy.weight = c.weight.empty() ? std::vector<double>(c.y.size(), 1.0) : c.weight;
    twice.weight = heavy.weight;
    for (size_t i = 0; i < c.y.size(); ++i) {
      heavy.weight[i] *= 2;
      twice.x.push_back(c.x[2 * i]), twice.x.push_back(c.x[2 * i + 1]), twice.y.push_back(c.y[i]),
          twice.weight.push_back(twice.weight[i]);
    }
    expect_alike(heavy, twice);
  });
}

// Rows of weight 0, however wild, are not there.
TEST(Invariance, RowsOfWeightZeroChangeNothing) {
  for_each_maximum([](const GoldenCase& c) {
    GoldenCase to = c;
    if (c.weight.empty()) to.weight.assign(c.y.size(), 1.0);
    for (int i = 0; i < 200; ++i) {
      to.x.push_back(1000.0 * i), to.x.push_back(-7.0 * i);
      to.y.push_back(c.spec.family == Family("multinomial") ? i % 3 : 1e6 + i), to.weight.push_back(0);
    }
    expect_alike(c, to);
  });
}

// All weights times c: log-likelihood times c, both errors and that of the mean over sqrt(c). Laplace's
// robust errors are excepted: their kernel narrows with the number of rows.
TEST(Invariance, UnitOfTheWeights) {
  constexpr double kUnit = 1.5;
  for_each_maximum([](const GoldenCase& c) {
    GoldenCase to = c;
    if (c.weight.empty()) to.weight.assign(c.y.size(), 1.0);
    for (auto& weight : to.weight) weight *= kUnit;
    const auto a = infer(c.fit(), c.view()), b = infer(to.fit(), to.view());
    expect_same(b.error, a.error, 1 / std::sqrt(kUnit), "error");
    if (c.spec.family != Family("laplace"))
      expect_same(b.robust_error, a.robust_error, 1 / std::sqrt(kUnit), "robust error");
    const auto from = criteria(c.fit(), c.view()), now = criteria(to.fit(), to.view());
    const double penalty = static_cast<double>(from.parameters) * std::log(c.fit().weight);
    const double now_penalty = static_cast<double>(from.parameters) * std::log(to.fit().weight);
    expect_near(now.log_likelihood, kUnit * from.log_likelihood, 0, "log-likelihood");
    expect_near(now.bic - now_penalty, kUnit * (from.bic - penalty), 0, "BIC");
    expect_near(now.icl - now_penalty, kUnit * (from.icl - penalty), 0, "ICL");
    if (c.spec.family == Family("multinomial")) return;
    expect_near(*prediction(to, b, 0.7, 44).mean_error,
                *prediction(c, a, 0.7, 44).mean_error / std::sqrt(kUnit), 0, "mean error");
  });
}

// Columns the other way round, with gate and experts told where theirs went: numbers move with their columns.
TEST(Invariance, OrderOfTheColumns) {
  for_each_maximum([](const GoldenCase& c) {
    GoldenCase to = c;
    to.spec.gate.columns = std::vector<int64_t>{1};
    to.spec.columns = c.spec.columns ? std::vector<int64_t>{0}
                                     : std::vector<int64_t>{1, 0};  // of the experts, in their old order
    for (size_t i = 0; i < c.x.size(); ++i) to.x[i ^ 1] = c.x[i];
    const auto a = infer(c.fit(), c.view()), b = infer(to.fit(), to.view());
    expect_same(b.error, a.error, 1, "error");
    expect_same(b.robust_error, a.robust_error, 1, "robust error");
    expect_criteria_moved(c, to, 1);
    const auto wanted = prediction(c, a, 0.7, 44), got = prediction(to, b, 44, 0.7);
    expect_near(got.mean, wanted.mean, 1, "mean");
    expect_near(got.low, wanted.low, 1, "low");
    expect_near(got.mean_error.value_or(0), wanted.mean_error.value_or(0), 0, "mean error");
  });
}

// The fit itself, from the same start moved along: estimates move with the units, to a hundredth of their
// errors (iterations end when the likelihood gains less than 1e-12 of itself). `gate_ridge` belongs to
// standardised columns and moves along.
TEST(Invariance, EstimatesMoveWithTheUnits) {
  const Units u{{3, -40}, {-0.1, 12}, 7, 5};
  FitOptions options;
  options.tolerance = 1e-12, options.max_iterations = 20000;
  for_each_maximum([&](const GoldenCase& c) {
    if (c.y.size() > 200 || c.weight.empty()) return;
    Units used = u;
    if (!gate_scales(c.spec)) used.unit[0] = 1;
    if (!gate_shifts(c.spec)) used.shift[0] = 0;
    const auto to = moved(c, used);
    const auto a = fit_from(c.view(), c.spec, c.parameters, options),
               b = fit_from(to.view(), to.spec, to.parameters, options);
    const auto errors = infer(b, to.view()).error;
    const auto wanted = natural_vector(c.spec, moved(c, a.parameters, used)),
               got = natural_vector(c.spec, b.parameters);
    for (size_t i = 0; i < got.size(); ++i) {
      if (errors[i]) {
        EXPECT_NEAR(got[i], wanted[i], 1e-2 * *errors[i]) << i;
      }
    }
  });
}

}  // namespace
