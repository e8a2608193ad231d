#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "gatewright/base/rng.h"
#include "gatewright/kernels/adam/family.h"
#include "tests/support/kernel_levels.h"

namespace {

using namespace gw::kernels;

std::vector<float> of_adam(int64_t count, uint64_t seed, double low, double high) {
  std::vector<float> out(static_cast<size_t>(count));
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<float>(low + (high - low) * gw::Rng(seed).uniform(i));
  return out;
}

struct AdamLevel : gw::test::LevelTest<adam_family> {};

// Counts around the vectors of every level; a second moment of zero is a parameter's first step.
TEST_P(AdamLevel, IsTheFormulaWithTheReferencesBits) {
  const AdamStep step{0.9f, 0.999f, 0.1f, 0.001f, 1e-8f, 3e-3f, 1.5f};
  for (const int64_t n : {0, 1, 7, 8, 9, 16, 17, 1000}) {
    for (const bool fresh : {false, true}) {
      const auto g = of_adam(n, 1, -1, 1), before = of_adam(n, 2, -1, 1);
      auto theta = before, m = of_adam(n, 3, -0.1, 0.1), v = of_adam(n, 4, 0, fresh ? 0 : 0.1);
      const auto m0 = m, v0 = v;
      auto ref = theta, ref_m = m, ref_v = v;
      adam_family()().move(step, n, g.data(), theta.data(), m.data(), v.data());
      adam_ref.move(step, n, g.data(), ref.data(), ref_m.data(), ref_v.data());
      ASSERT_EQ(theta, ref) << n;
      ASSERT_EQ(m, ref_m) << n;
      ASSERT_EQ(v, ref_v) << n;
      for (size_t i = 0; i < g.size(); ++i) {
        const double d = g[i], first = 0.9 * m0[i] + 0.1 * d, second = 0.999 * v0[i] + 0.001 * d * d;
        ASSERT_NEAR(m[i], first, 1e-6);
        ASSERT_NEAR(v[i], second, 1e-6 * std::max(second, 0.01));
        const double moved = 3e-3 * first / (1.5 * std::sqrt(second) + 1e-8);
        ASSERT_NEAR(theta[i], before[i] - moved, 1e-6 * (1 + std::abs(100 * moved))) << i << " of " << n;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, AdamLevel, gw::test::all_levels<adam_family>(), gw::test::level_name);

}  // namespace
