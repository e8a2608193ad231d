// The catalogue of activations against formulas written a second time in long double, against differences,
// and level against level.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gatewright/kernels/activations/family.h"
#include "gatewright/kernels/activations/mittag_leffler.h"
#include "tests/kernels/activation_formulas.h"

namespace {

using namespace gw::kernels;
using gw::test::formulas;

const std::vector<double> kPoints{-3, -1, -0.5, 0, 0.5, 1, 3};

struct Unit {
  int place;
  const UnitInfo& info() const { return unit_infos[place]; }
  std::string name() const { return info().name; }
  std::vector<double> defaults() const {
    std::vector<double> p(1);  // never empty: rows copy from it
    for (int j = 0; j < info().count(); ++j)
      p[static_cast<size_t>(j)] = info().parameters[j].value, p.push_back(0);
    return p;
  }
  double value(double x, const std::vector<double>& p) const {
    double f;
    units_ref_f64.rows[place].value(&x, 1, p.data(), &f);
    return f;
  }
  Value<double> at(double x, const std::vector<double>& p) const {
    Value<double> v{};
    units_ref_f64.rows[place].slope(&x, 1, p.data(), &v.f, &v.slope);
    return v;
  }
  double value(double x) const { return value(x, defaults()); }
  double slope(double x) const { return at(x, defaults()).slope; }
  std::vector<double> by(double x, const std::vector<double>& p) const {
    std::vector<double> d(static_cast<size_t>(info().count()));
    units_ref_f64.rows[place].by(&x, 1, p.data(), d.data());
    return d;
  }
  bool learns() const { return units_ref_f64.rows[place].by != nullptr; }
  std::set<double> kinks() const {
    std::set<double> out;
    const std::string text = info().kinks;
    for (size_t i = 0; i < text.size(); i = std::min(text.find(',', i), text.size() - 1) + 1)
      out.insert(std::strtod(text.c_str() + i, nullptr));
    return out;
  }
};

std::vector<Unit> all_units() {
  std::vector<Unit> out;
  for (int u = 0; u < units_ref_f64.count; ++u) out.push_back({u});
  return out;
}

Unit unit(const std::string& name) {
  for (const auto& u : all_units()) {
    if (u.name() == name) return u;
  }
  ADD_FAILURE() << "no " << name;
  return {0};
}

/// By differences over h and 2h: error h⁴, about 1e-11.
double difference(const std::function<double(double)>& f, double at, double h = 1e-3) {
  return (8 * (f(at + h) - f(at - h)) - (f(at + 2 * h) - f(at - 2 * h))) / (12 * h);
}

/// E g(x), x standard normal, by the trapezoid rule.
double expected(const std::function<double(double)>& g) {
  double sum = 0;
  constexpr double kStep = 1e-3;
  for (int i = -9000; i <= 9000; ++i) {
    const double x = i * kStep;
    sum += g(x) * std::exp(-x * x / 2);
  }
  return sum * kStep / std::sqrt(2 * M_PI);
}

TEST(Activations, HaveNamesOfTheirOwn) {
  std::set<std::string> seen;
  for (const auto& u : all_units()) {
    const std::string aliases = u.info().aliases;
    EXPECT_TRUE(seen.insert(u.name()).second) << u.name();
    for (size_t i = 0; i < aliases.size();) {
      const auto end = std::min(aliases.find(',', i), aliases.size());
      EXPECT_TRUE(seen.insert(aliases.substr(i, end - i)).second) << aliases.substr(i, end - i);
      i = end + 1;
    }
    EXPECT_TRUE(formulas().count(u.name())) << u.name() << " has no second formula in this test";
    EXPECT_NE(std::string(u.info().file).find("gatewright/kernels/activations/"), std::string::npos)
        << u.info().file;
  }
  EXPECT_EQ(formulas().size(), all_units().size());
}

TEST(Activations, AreTheirFormulas) {
  for (const auto& u : all_units()) {
    const auto& f = formulas().at(u.name());
    for (double x : kPoints) {
      const auto want = static_cast<double>(f(static_cast<long double>(x)));
      EXPECT_NEAR(u.value(x), want, 4e-13 * std::max(1.0, std::abs(want))) << u.name() << " at " << x;
    }
  }
}

TEST(Activations, SlopesAreDerivatives) {
  for (const auto& u : all_units()) {
    if (u.name() == "helu") continue;  // its own test
    const auto p = u.defaults();
    for (double x = -7.03; x < 7; x += 0.17) {
      bool near = false;
      for (const double kink : u.kinks()) near = near || std::abs(x - kink) < 5e-3;
      if (near) continue;
      const auto v = u.at(x, p);
      const double h = u.name() == "sine" ? 1e-4 : 1e-3;
      const double want = difference([&](double t) { return u.value(t, p); }, x, h);
      EXPECT_NEAR(v.slope, want, 2e-8 * std::max(1.0, std::abs(want))) << u.name() << " at " << x;
      EXPECT_EQ(v.f, u.value(x, p)) << u.name() << ": value and slope rows disagree at " << x;
    }
    for (const double kink : u.kinks()) {
      const double jump = u.slope(kink + 1e-9) - u.slope(kink - 1e-9);
      EXPECT_GT(std::abs(jump), 1e-3) << u.name() << " has no kink at " << kink;
    }
  }
}

// Away from the initial values too, where a derivative that is zero there would show.
TEST(Activations, DerivativesByParametersMatchDifferences) {
  int learned = 0;
  for (const auto& u : all_units()) {
    if (!u.learns()) continue;
    ++learned;
    const bool series = u.name().find("mittag") == 0;
    for (int set = 0; set < 3; ++set) {
      auto p = u.defaults();
      for (int j = 0; j < u.info().count(); ++j) {
        if (series)
          p[static_cast<size_t>(j)] = (j == 0 ? 0.8 : 1.3) - 0.2 * set;  // inside the bounds
        else
          p[static_cast<size_t>(j)] += set == 0 ? 0 : 0.1 * (j + set);
      }
      for (const double x : {-4.2, -1.3, -0.4, 0.3, 0.9, 2.6, 5.1}) {
        const auto d = u.by(x, p);
        for (int j = 0; j < u.info().count(); ++j) {
          const auto f = [&](double t) {
            auto q = p;
            q[static_cast<size_t>(j)] = t;
            return u.value(x, q);
          };
          const double want = difference(f, p[static_cast<size_t>(j)]);
          EXPECT_NEAR(d[static_cast<size_t>(j)], want, 3e-8 * std::max(1.0, std::abs(want)))
              << u.name() << " by " << u.info().parameters[j].name << " at " << x << " set " << set;
        }
      }
    }
  }
  EXPECT_GE(learned, 16);
}

TEST(Activations, BendsAreSecondDerivatives) {
  for (const auto& u : all_units()) {
    if (units_ref_f64.rows[u.place].bend == nullptr) continue;
    for (double x = -5; x < 5; x += 0.3)
      EXPECT_NEAR(units_ref_f64.rows[u.place].bend(x), difference([&](double t) { return u.slope(t); }, x),
                  1e-9)
          << u.name();
  }
}

template <class S>
void no_nan(const UnitTable<S>& table, const std::string& level) {
  for (const auto& u : all_units()) {
    std::vector<S> p;
    for (const double v : u.defaults()) p.push_back(static_cast<S>(v));
    for (const double size : {0.0, 1e-30, 1e-6, 10.0, 40.0, 88.5, 104.0, 745.0, 1e4, 1e6, 1e9}) {
      for (const double sign : {-1.0, 1.0}) {
        S x = static_cast<S>(sign * size), f[3], by[10];
        const auto& rows = table.rows[u.place];
        rows.value(&x, 1, p.data(), f), rows.slope(&x, 1, p.data(), f + 1, f + 2);
        if (rows.by != nullptr) rows.by(&x, 1, p.data(), by);
        for (const S v : f) EXPECT_FALSE(std::isnan(v)) << u.name() << " at " << x << ", " << level;
        for (int j = 0; rows.by != nullptr && j < u.info().count(); ++j)
          EXPECT_FALSE(std::isnan(by[j]))
              << u.name() << " by parameter " << j << " at " << x << ", " << level;
      }
    }
    S nan = static_cast<S>(NAN), f;
    table.rows[u.place].value(&nan, 1, p.data(), &f);
    EXPECT_TRUE(std::isnan(f)) << u.name() << " hides a NaN, " << level;
  }
}

TEST(Activations, AreNumbersFarOut) {
  no_nan(units_ref_f64, "f64");
  for (const auto& level : activation_family().levels()) {
    if (!level.available) continue;
    activation_family().force(level.name);
    no_nan(activation_family()(), level.name);
  }
  activation_family().force("");
}

// Every level beside double precision, in rows of a length that leaves a tail.
TEST(Activations, AgreeInSinglePrecision) {
  constexpr int kCount = 997;
  for (const auto& level : activation_family().levels()) {
    if (!level.available) continue;
    activation_family().force(level.name);
    const auto& table = activation_family()();
    for (const auto& u : all_units()) {
      const auto wide = u.defaults();
      std::vector<float> p(wide.begin(), wide.end()), x(kCount), f(kCount), g(kCount), slope(kCount),
          by(static_cast<size_t>(kCount * (u.info().count() + 1)));
      for (int i = 0; i < kCount; ++i)
        x[static_cast<size_t>(i)] = -12.0f + 24.0f * static_cast<float>(i) / kCount;
      const auto& rows = table.rows[u.place];
      rows.value(x.data(), kCount, p.data(), f.data());
      rows.slope(x.data(), kCount, p.data(), g.data(), slope.data());
      if (rows.by != nullptr) rows.by(x.data(), kCount, p.data(), by.data());
      // sin(30·x) has 360 radians at 12, rounded to 3e-5
      const double bound = u.name() == "sine" ? 3e-5 : 1e-6;
      for (size_t i = 0; i < kCount; ++i) {
        bool near = false;
        for (const double kink : u.kinks()) near = near || std::abs(x[i] - kink) < 1e-4;
        if (near) continue;
        const auto want = u.at(x[i], wide);
        const double most = std::max(1.0, std::abs(static_cast<double>(x[i])));
        EXPECT_EQ(f[i], g[i]) << u.name() << level.name;
        EXPECT_NEAR(f[i], want.f, bound * std::max(most, std::abs(want.f)))
            << u.name() << " at " << x[i] << level.name;
        EXPECT_NEAR(slope[i], want.slope,
                    (u.name() == "sine" ? 30 : 1) * bound * std::max(most, std::abs(want.slope)))
            << u.name() << " at " << x[i] << level.name;
        const auto d = u.learns() ? u.by(x[i], wide) : std::vector<double>();
        for (size_t j = 0; j < d.size(); ++j)
          EXPECT_NEAR(by[j * kCount + i], d[j], 2 * bound * std::max(most * most, std::abs(d[j])))
              << u.name() << " by " << j << " at " << x[i] << level.name;
      }
    }
  }
  activation_family().force("");
}

TEST(Activations, HeluIsReluForwardAndWaitsBackward) {
  const auto helu = unit("helu"), relu = unit("relu");
  for (const double alpha : {0.0, 0.05, 0.6}) {
    const std::vector<double> p{alpha, 0};
    for (const double x : {-1.0, -0.6, -0.599, -0.3, -0.05, -0.049, -1e-9, 0.0, 1e-9, 0.2}) {
      EXPECT_EQ(helu.value(x, p), relu.value(x));
      EXPECT_EQ(helu.at(x, p).slope, x > -alpha ? 1.0 : 0.0) << x;
      EXPECT_TRUE(alpha > 0 || helu.at(x, p).slope == relu.slope(x)) << x;
    }
  }
}

TEST(Activations, HaveTheirSpecialValues) {
  EXPECT_NEAR(unit("silu").value(1), 0.7310585786300049, 1e-15);
  EXPECT_NEAR(unit("silu").value(-1), -0.2689414213699951, 1e-15);
  EXPECT_NEAR(unit("silu").value(-1.2784645427610738), -0.27846454276107379, 1e-14);  // the minimum
  EXPECT_NEAR(unit("silu").slope(-1.2784645427610738), 0, 1e-15);
  EXPECT_NEAR(unit("swish").value(2, {0, 0}), 1, 0);  // β = 0: x/2
  EXPECT_NEAR(unit("swish").value(0.5, {50, 0}), 0.5, 1e-10);
  const auto golu = unit("golu");
  EXPECT_EQ(golu.value(0), 0);
  EXPECT_NEAR(golu.slope(0), std::exp(-1.0), 1e-15);
  EXPECT_NEAR(golu.value(1), 0.6922006275553464, 1e-13);
  EXPECT_NEAR(golu.slope(-0.567143290409783873), 0, 1e-15);  // −W(1)
  EXPECT_NEAR(golu.value(-0.567143290409783873), -0.0973, 5e-5);
  EXPECT_NEAR(unit("atlu").value(-1e9), -1 / M_PI, 1e-12);  // never 0 on the left
  EXPECT_NEAR(unit("hard_swish").value(-3), 0, 0);
  EXPECT_NEAR(unit("selu").slope(-1e-12), 1.0507009873554805 * 1.6732632423543772, 1e-9);
  double far = 0;
  for (double x = -5; x < 5; x += 0.01)
    far = std::max(far, std::abs(unit("gelu").value(x) - unit("gelu_tanh").value(x)));
  EXPECT_GT(far, 3e-4);
  EXPECT_LT(far, 5e-4);
}

TEST(Activations, UnexpandedGatesAreThePlainUnits) {
  for (const auto& [wide, plain] : std::vector<std::pair<const char*, const char*>>{
           {"xatlu", "atlu"}, {"xgelu", "gelu"}, {"xsilu", "silu"}}) {
    for (double x = -8; x < 8; x += 0.1) EXPECT_EQ(unit(wide).value(x), unit(plain).value(x)) << wide << x;
    EXPECT_NE(unit(wide).value(1, {0.3, 0}), unit(plain).value(1));
  }
}

// The constants that the papers give, and gains by which initial weights keep the variance.
TEST(Activations, MomentsUnderANormalInputAreThePapers) {
  const auto star = unit("star_relu");
  const double mean = expected([&](double x) { return star.value(x); });
  EXPECT_NEAR(mean, 0, 1e-6);
  EXPECT_NEAR(expected([&](double x) { return std::pow(star.value(x) - mean, 2); }), 1, 1e-5);
  for (const auto& [name, want] : std::map<std::string, double>{
           {"relu", 0.34085}, {"gelu", 0.34564}, {"silu", 0.31308}, {"mish", 0.39455}, {"golu", 0.25263}}) {
    const auto u = unit(name);
    const double m = expected([&](double x) { return u.value(x); });
    EXPECT_NEAR(expected([&](double x) { return std::pow(u.value(x) - m, 2); }), want, 1e-5) << name;
  }
  for (const auto& [name, want] : std::map<std::string, double>{{"relu", 1.41421},
                                                                {"gelu", 1.53353},
                                                                {"silu", 1.67653},
                                                                {"mish", 1.48685},
                                                                {"golu", 1.76878},
                                                                {"atlu", 1.69841},
                                                                {"relu_squared", 0.81650}}) {
    const auto u = unit(name);
    EXPECT_NEAR(1 / std::sqrt(expected([&](double x) { return u.value(x) * u.value(x); })), want, 1e-5)
        << name;
  }
}

TEST(MittagLeffler, HasItsClosedForms) {
  for (double z = -5; z <= 5; z += 0.25) {
    EXPECT_NEAR(mittag_leffler(1, 1, z).f, std::exp(z), 1e-12 * std::max(1.0, std::exp(z))) << z;
    EXPECT_NEAR(mittag_leffler(2, 1, z * z).f, std::cosh(z), 1e-12 * std::cosh(z)) << z;
    EXPECT_NEAR(z * mittag_leffler(2, 2, z * z).f, std::sinh(z), 1e-12 * std::cosh(z)) << z;
    // a = 1/2: e^(z²)·erfc(−z)
    EXPECT_NEAR(mittag_leffler(0.5, 1, z).f, std::exp(z * z) * std::erfc(-z),
                1e-11 * std::max(1.0, std::exp(z * z)))
        << z;
    // a = 1, b = 2: (eᶻ − 1)/z
    EXPECT_NEAR(mittag_leffler(1, 2, z).f, z == 0 ? 1 : std::expm1(z) / z, 1e-12 * std::max(1.0, std::exp(z)))
        << z;
  }
  for (double z = -5; z < 1; z += 0.25) EXPECT_NEAR(mittag_leffler(0, 1, z).f, 1 / (1 - z), 1e-12) << z;
  EXPECT_NEAR(mittag_leffler(0.5, 1, -50).f, 0.011281536265323772, 1e-12);  // 1/(50·√π)·(1 − 1/5000 + …)
}

TEST(MittagLeffler, DerivativesMatchDifferences) {
  for (const double a : {0.3, 0.7, 0.95}) {
    for (const double b : {0.96, 1.0, 1.8}) {
      for (const double z : {-30.0, -4.0, -0.7, 0.6, 1.2}) {
        const auto e = mittag_leffler(a, b, z);
        const auto near = [&](double got, double want, const char* what) {
          EXPECT_NEAR(got, want, 1e-7 * std::max(1.0, std::abs(want))) << what << a << " " << b << " " << z;
        };
        near(e.by_z, difference([&](double t) { return mittag_leffler(a, b, t).f; }, z), "z ");
        near(e.by_a, difference([&](double t) { return mittag_leffler(t, b, z).f; }, a), "a ");
        near(e.by_b, difference([&](double t) { return mittag_leffler(a, t, z).f; }, b), "b ");
        // Of the paper: dE/dz = (E_{a,b−1} − (b − 1)·E_{a,b})/(a·z)
        if (b > 1) near(e.by_z, (mittag_leffler(a, b - 1, z).f - (b - 1) * e.f) / (a * z), "identity ");
      }
    }
  }
}

TEST(MittagLeffler, UnitsAreSwishSigmoidAndEluAtTheStart) {
  for (double x = -30; x < 30; x += 0.7) {
    EXPECT_NEAR(unit("mittag_leffler").value(x), unit("silu").value(x), 1e-11) << x;
    EXPECT_NEAR(unit("mittag_leffler_gate").value(x), unit("sigmoid").value(x), 1e-12) << x;
    EXPECT_NEAR(unit("mittag_leffler_elu").value(x), unit("elu").value(x), 1e-12) << x;
  }
}

}  // namespace
