#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "gatewright/ops/conv.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/random.h"
#include "gatewright/ops/row_product.h"

namespace gw::test::row_product_cases {
namespace {

at::Tensor normal(at::IntArrayRef shape, uint64_t seed) { return ops::normal(Rng(seed), shape, 0, 1); }

TEST(RowProduct, IsTheLinearLayer) {
  const auto x = normal({9000, 50}, 1), w = normal({7, 50}, 2), b = normal({7}, 3);
  const at::NoGradGuard no_grad;
  for (const int64_t rows : {1, 3, 8, 9000}) {
    const auto few = x.narrow(0, 0, rows);
    for (const auto& bias : {b, at::Tensor()}) {
      ASSERT_TRUE(ops::row_product_fits(few, w, bias));
      const auto y = ops::linear_by_rows(few, w, bias);
      EXPECT_TRUE(at::equal(y, ops::row_product(few, w, bias)));
      EXPECT_LT((y - at::linear(few, w, bias)).abs().max().item<double>(), 1e-5) << rows << " rows";
    }
  }
}

TEST(RowProduct, RowsHaveTheirBitsAmongAnyOthers) {
  const at::NoGradGuard no_grad;
  const auto x = normal({20000, 33}, 4), w = normal({5, 33}, 5);  // of several tasks
  const auto all = ops::linear_by_rows(x, w, {});
  for (const int64_t r : {0, 7, 4096, 13001, 19999})
    EXPECT_TRUE(at::equal(ops::linear_by_rows(x.narrow(0, r, 1), w, {}), all.narrow(0, r, 1))) << "row " << r;
}

// Recorded or not, the same bits; gradients of the first and the second order are those of libtorch's
// product.
TEST(RowProduct, LearnsAsTheLinearLayer) {
  const auto x = normal({11, 50}, 10).requires_grad_(true), w = normal({7, 50}, 11).requires_grad_(true),
             b = normal({7}, 12).requires_grad_(true), weigh = normal({11, 7}, 13);
  const auto y = ops::linear_by_rows(x, w, b);
  {
    const at::NoGradGuard no_grad;
    EXPECT_TRUE(at::equal(y, ops::linear_by_rows(x, w, b)));
  }
  const auto gradients = [&](const at::Tensor& answer) {
    auto first = torch::autograd::grad({(answer.square() * weigh).sum()}, {x, w, b}, {}, true, true);
    auto second = torch::autograd::grad({first[0].square().sum() + first[1].square().sum()}, {x, w, b});
    first.insert(first.end(), second.begin(), second.end());
    return first;
  };
  const auto got = gradients(y), want = gradients(at::linear(x, w, b));
  for (size_t i = 0; i < want.size(); ++i)
    EXPECT_LT((got[i] - want[i]).abs().max().item<double>(), 1e-5 * (1 + want[i].abs().max().item<double>()))
        << i;
  EXPECT_FALSE(ops::linear_by_rows(x.detach(), w.detach(), {}).requires_grad());
  EXPECT_TRUE(ops::linear_by_rows(x.detach(), w.detach(), b).requires_grad());
}

TEST(RowProduct, LeavesToLibtorchWhatItIsNotFor) {
  const auto x = normal({2, 50}, 6), w = normal({7, 50}, 7);
  const at::NoGradGuard no_grad;
  EXPECT_FALSE(ops::row_product_fits(x.to(at::kDouble), w.to(at::kDouble), {}));
  EXPECT_FALSE(ops::row_product_fits(x.t().contiguous().t(), w, {}));
  EXPECT_FALSE(ops::row_product_fits(x.narrow(1, 0, 49), w.narrow(1, 0, 49), {}));
  EXPECT_FALSE(ops::row_product_fits(x.narrow(1, 0, 49).contiguous(), w, {}));  // libtorch says what is wrong
  EXPECT_FALSE(ops::row_product_fits(at::zeros({1, 1000}), at::zeros({66, 1000}), {}));
  EXPECT_FALSE(ops::row_product_fits(x, w, at::zeros({3})));
  EXPECT_FALSE(ops::row_product_fits(at::zeros({0, 50}), w, {}));
  at::autocast::set_cpu_enabled(true);
  EXPECT_FALSE(ops::row_product_fits(x, w, {}));
  at::autocast::set_cpu_enabled(false);
}

TEST(RowProduct, ItsOperationsAreCounted) {
  const at::NoGradGuard no_grad;
  const ops::CostRecorder cost;
  ops::linear_by_rows(normal({2, 50}, 8), normal({7, 50}, 9), {});
  EXPECT_EQ(cost.macs(), 2 * 50 * 7);
}

}  // namespace
}  // namespace gw::test::row_product_cases
