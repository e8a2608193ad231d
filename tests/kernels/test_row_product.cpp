#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "gatewright/base/rng.h"
#include "gatewright/kernels/row_product/family.h"
#include "tests/support/kernel_levels.h"

namespace {

using namespace gw::kernels;

std::vector<float> drawn(int64_t count, uint64_t seed) {
  std::vector<float> out(static_cast<size_t>(count));
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(gw::Rng(seed).uniform(i) * 2 - 1);
  return out;
}

struct RowProductLevel : gw::test::LevelTest<row_product_family> {};

// Widths around the 16 sums, answers around the 4 at once.
TEST_P(RowProductLevel, IsTheProductWithTheReferencesBits) {
  for (const int64_t in : {0, 1, 15, 16, 17, 100, 1024}) {
    for (const int64_t out : {1, 3, 4, 5, 33}) {
      for (const bool biased : {false, true}) {
        const int64_t rows = 3;
        const auto x = drawn(rows * in, 1), w = drawn(out * in, 2), b = drawn(out, 3);
        std::vector<float> y(static_cast<size_t>(rows * out)), want = y;
        row_product_family()().run(x.data(), rows, in, w.data(), biased ? b.data() : nullptr, out, y.data());
        row_product_ref.run(x.data(), rows, in, w.data(), biased ? b.data() : nullptr, out, want.data());
        ASSERT_EQ(y, want) << in << " to " << out;
        for (int64_t i = 0; i < rows * out; ++i) {
          const int64_t r = i / out, o = i % out;
          double sum = biased ? b[static_cast<size_t>(o)] : 0, size = 1;
          for (int64_t k = 0; k < in; ++k) {
            const double product =
                double{x[static_cast<size_t>(r * in + k)]} * double{w[static_cast<size_t>(o * in + k)]};
            sum += product, size += std::abs(product);
          }
          ASSERT_NEAR(y[static_cast<size_t>(i)], sum, 1e-6 * size) << in << " to " << out;
        }
      }
    }
  }
}

TEST_P(RowProductLevel, RowsHaveTheirBitsAlone) {
  const int64_t rows = 8, in = 77, out = 21;
  const auto x = drawn(rows * in, 4), w = drawn(out * in, 5);
  std::vector<float> all(static_cast<size_t>(rows * out)), one(static_cast<size_t>(out));
  row_product_family()().run(x.data(), rows, in, w.data(), nullptr, out, all.data());
  for (int64_t r = 0; r < rows; ++r) {
    row_product_family()().run(x.data() + r * in, 1, in, w.data(), nullptr, out, one.data());
    EXPECT_TRUE(std::equal(one.begin(), one.end(), all.begin() + r * out)) << "row " << r;
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, RowProductLevel, gw::test::all_levels<row_product_family>(),
                         gw::test::level_name);

}  // namespace
