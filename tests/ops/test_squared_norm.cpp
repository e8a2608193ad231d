#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "gatewright/base/rng.h"
#include "gatewright/ops/random.h"
#include "gatewright/ops/squared_norm.h"

namespace gw::test::squared_norm_cases {

using gw::ops::squared_norm;

TEST(SquaredNorm, OfAnyShapeLayoutAndType) {
  const auto values = at::arange(1, 7, at::kFloat).view({2, 3});
  EXPECT_EQ(squared_norm(values), 91);
  EXPECT_EQ(squared_norm(values.t()), 91);
  EXPECT_EQ(squared_norm(values.slice(1, 0, 3, 2)), 1 + 9 + 16 + 36);
  EXPECT_EQ(squared_norm(values.to(at::kDouble)), 91);
  EXPECT_EQ(squared_norm(at::scalar_tensor(-3.0)), 9);
  EXPECT_EQ(squared_norm(at::empty({0, 4})), 0);
  EXPECT_EQ(squared_norm(at::Tensor()), 0);
  EXPECT_EQ(squared_norm(at::full({3}, 1e30, at::kFloat)), 3 * std::pow(static_cast<double>(1e30f), 2))
      << "summed in f64";
}

TEST(SquaredNorm, TheSameBitsForAnyNumberOfThreads) {
  const int threads = at::get_num_threads();
  const auto values = gw::ops::normal(gw::Rng(3), {300'001}, 0, 1);
  at::set_num_threads(1);
  const double one = squared_norm(values);
  for (const int count : {2, 3, 7}) {
    at::set_num_threads(count);
    EXPECT_EQ(squared_norm(values), one) << count;
  }
  at::set_num_threads(threads);
  EXPECT_NEAR(one, values.to(at::kDouble).square().sum().item<double>(), 1e-6);
}

}  // namespace gw::test::squared_norm_cases
