// What a fit tells of its search.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "gatewright/likelihood/fit.h"
#include "tests/likelihood/samples.h"

namespace {

using namespace gw::likelihood;
using gw::test::crossing_lines;
using gw::test::Sample;

// A rule that leaves a higher maximum out says so: its value, which rule, which option.
TEST(Fit, AHigherMaximumThatARuleRefusedIsTold) {
  int told = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const Sample sample = crossing_lines(60, seed);
    MixtureSpec spec;
    spec.experts = 3;
    FitOptions options;
    options.replacements = 0;
    const auto result = fit(sample.view(), spec, 1, options);
    const std::string head = "a higher maximum was refused, of log-likelihood ";
    if (result.refused.empty()) continue;
    ++told;
    ASSERT_EQ(result.refused.substr(0, head.size()), head);
    const double refused = std::stod(result.refused.substr(head.size()));
    EXPECT_GT(refused, result.log_likelihood) << seed;
    EXPECT_NE(result.refused.find("the option"), std::string::npos) << result.refused;
  }
  EXPECT_GE(told, 3);
}

TEST(Fit, CountsTheStartsThatEndedAtItsMaximum) {
  const Sample easy = crossing_lines(300, 2);
  EXPECT_GE(fit(easy.view(), {}, 1).at_best, 5);
  MixtureSpec spec;
  spec.experts = 3;  // one too many: several maxima
  FitOptions options;
  options.replacements = 0;
  const auto result = fit(easy.view(), spec, 1, options);
  const auto near =
      std::count_if(result.start_likelihood.begin(), result.start_likelihood.end(),
                    [&](double value) { return std::abs(value - result.log_likelihood) <= 1e-4; });
  EXPECT_EQ(result.at_best, near);
  EXPECT_LT(result.at_best, 10);
}

}  // namespace
