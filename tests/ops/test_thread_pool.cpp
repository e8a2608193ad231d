#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/ops/thread_pool.h"

namespace gw::test::team_cases {

constexpr int64_t kValues = int64_t{24} << 20;  // 96 MB: large enough to be lent back while free

TEST(Pool, ALargeBlockThatWasLentBackIsUsedAgain) {
  auto first = gw::ops::pooled_empty({kValues}, at::kFloat);
  const void* const where = first.data_ptr();
  first.fill_(3);
  first.reset();
  auto second = gw::ops::pooled_empty({kValues}, at::kFloat);
  EXPECT_EQ(second.data_ptr(), where);
  second.fill_(5);
  EXPECT_EQ(second.sum(at::kDouble).item<double>(), 5.0 * kValues)
      << "what is written stays: the system may take pages of free blocks only";
}

TEST(Pool, BlocksInUseAreNobodyElses) {
  const auto a = gw::ops::pooled_empty({kValues}, at::kFloat).fill_(1),
             b = gw::ops::pooled_empty({kValues}, at::kFloat).fill_(2);
  EXPECT_EQ(a.sum(at::kDouble).item<double>(), 1.0 * kValues);
  EXPECT_EQ(b.sum(at::kDouble).item<double>(), 2.0 * kValues);
}

}  // namespace gw::test::team_cases
