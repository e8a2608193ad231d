#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/rng.h"

namespace {

TEST(Rng, IsAPureFunctionOfSeedPurposeAndIndex) {
  const gw::Rng a(1), b(1), c(2);
  EXPECT_EQ(a.fork("augment", 3).bits(5), b.fork("augment", 3).bits(5));
  EXPECT_NE(a.fork("augment", 3).bits(5), a.fork("augment", 4).bits(5));
  EXPECT_NE(a.fork("augment", 3).bits(5), a.fork("attack", 3).bits(5));
  EXPECT_NE(a.bits(0), c.bits(0));
}

TEST(Rng, IsUniform) {
  const gw::Rng rng(7);
  constexpr int kDraws = 100000, kBins = 10;
  int counts[kBins] = {};
  for (int i = 0; i < kDraws; ++i) ++counts[rng.below(static_cast<uint64_t>(i), kBins)];
  double chi2 = 0;
  for (const int count : counts) chi2 += std::pow(count - kDraws / kBins, 2) / (kDraws / kBins);
  EXPECT_LT(chi2, 27.9);  // 0.999 quantile of chi-square with 9 degrees of freedom
}

TEST(Rng, PermutationHoldsEveryIndexOnce) {
  auto order = gw::Rng(3).permutation(1000);
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  std::sort(order.begin(), order.end());
  for (int64_t i = 0; i < 1000; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
  EXPECT_TRUE(gw::Rng(3).permutation(0).empty());
}

}  // namespace
