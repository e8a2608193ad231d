// Normal and Student's t distributions, digamma and trigamma.
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "gatewright/base/distributions.h"

namespace {

using namespace gw::base;

// R: pt(t, df), qt(p, df).
TEST(Distributions, StudentsTIsRs) {
  EXPECT_NEAR(student_cdf(-2, 3), 0.06966298427942152, 1e-13);
  EXPECT_NEAR(student_cdf(1.5, 7.5), 0.912759714706768, 1e-13);
  EXPECT_NEAR(student_cdf(-8, 4) / 0.0006619484546085836, 1, 1e-10);
  EXPECT_NEAR(student_quantile(0.975, 6), 2.4469118511449786, 1e-11);
  EXPECT_NEAR(student_quantile(0.975, 1), 12.706204736174694, 1e-9);
  EXPECT_NEAR(student_quantile(0.9, 2.5), 1.7302509288071766, 1e-11);
  EXPECT_NEAR(student_quantile(0.005, 30), -2.7499956535672254, 1e-11);
  EXPECT_EQ(student_quantile(1, 3), INFINITY);
  EXPECT_NEAR(student_quantile(0.5, 7), 0, 1e-14);
  EXPECT_NEAR(student_quantile(0.5 + 1e-10, 1) / (1e-10 * std::numbers::pi), 1, 1e-5);
  for (const double freedom : {3.0, 10.0, 100.0}) {
    for (double t = -8; t < 8; t += 0.25)
      EXPECT_NEAR(normal_cdf(normal_equivalent(t, freedom)), student_cdf(t, freedom), 8e-4) << t;
  }
}

TEST(Distributions, DigammaAndTrigammaAreKnownValues) {
  EXPECT_NEAR(digamma(1), -0.57721566490153286, 1e-12);
  EXPECT_NEAR(digamma(0.5), -1.9635100260214235, 1e-12);
  EXPECT_NEAR(digamma(10), 2.2517525890667211, 1e-12);
  EXPECT_NEAR(trigamma(1), std::numbers::pi * std::numbers::pi / 6, 1e-12);
  EXPECT_NEAR(trigamma(0.5), std::numbers::pi * std::numbers::pi / 2, 1e-12);
  EXPECT_NEAR(trigamma(10), 0.10516633568168575, 1e-14);
}

TEST(Distributions, NormalQuantileInvertsTheDistribution) {
  for (const double p : {1e-12, 1e-4, 0.02, 0.3, 0.5, 0.9, 0.99, 1 - 1e-9})
    EXPECT_NEAR(0.5 * std::erfc(-normal_quantile(p) / std::sqrt(2.0)) / p, 1, 1e-8);
}

}  // namespace
