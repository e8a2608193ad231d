#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "gatewright/base/error.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/random.h"
#include "tests/support/gradcheck.h"

namespace gw::test::conv_cases {

using gw::Rng;
using gw::ops::ConvShape;

struct Case {
  int64_t images, in, out, side;
  ConvShape shape;
};

const std::vector<Case> kCases{{1, 8, 16, 14, {2, 1}},
                               {7, 1, 16, 28, {1, 1}},
                               {50, 16, 16, 14, {1, 1}},
                               {128, 1, 8, 28, {2, 1}},
                               {33, 32, 32, 7, {1, 1}}};

std::vector<at::Tensor> answer(const Case& c, int threads) {
  const int before = at::get_num_threads();
  at::set_num_threads(threads);
  const auto x = gw::ops::normal(Rng(1), {c.images, c.in, c.side, c.side}, 0, 1)
                     .contiguous(at::MemoryFormat::ChannelsLast)
                     .requires_grad_(true);
  const auto w = gw::ops::normal(Rng(2), {c.out, c.in, 3, 3}, 0, 1).requires_grad_(true);
  const auto y = gw::ops::conv2d(x, w, {}, c.shape);
  const auto gradients = torch::autograd::grad({y}, {x, w}, {gw::ops::normal(Rng(3), y.sizes(), 0, 1)});
  at::set_num_threads(before);
  return {y.detach(), gradients[0], gradients[1]};
}

TEST(Conv, NoBitDependsOnTheNumberOfThreads) {
  for (const auto& c : kCases) {
    const auto one = answer(c, 1);
    for (const int threads : {2, 3}) {
      const auto more = answer(c, threads);
      for (size_t i = 0; i < one.size(); ++i)
        EXPECT_TRUE(one[i].equal(more[i])) << c.images << " images, " << threads << " threads, value " << i;
    }
  }
}

TEST(Conv, GradientsEqualLibtorchInDoublePrecision) {
  for (const auto& c : kCases) {
    const auto got = answer(c, 2);
    const auto x =
        gw::ops::normal(Rng(1), {c.images, c.in, c.side, c.side}, 0, 1).to(at::kDouble).requires_grad_(true);
    const auto w = gw::ops::normal(Rng(2), {c.out, c.in, 3, 3}, 0, 1).to(at::kDouble).requires_grad_(true);
    const auto y = at::conv2d(x, w, {}, c.shape.stride, c.shape.padding);
    const auto g = gw::ops::normal(Rng(3), y.sizes(), 0, 1).to(at::kDouble);
    const auto want = torch::autograd::grad({y}, {x, w}, {g});
    EXPECT_LT((got[0] - y).norm().item<double>(), 1e-6 * y.norm().item<double>());
    for (size_t i = 0; i < 2; ++i)
      EXPECT_LT((got[i + 1] - want[i]).norm().item<double>(), 1e-5 * want[i].norm().item<double>());
  }
}

TEST(Conv, GradientsMatchFiniteDifferencesWithABias) {
  const auto one = [](const std::vector<at::Tensor>& in) {
    return std::vector<at::Tensor>{gw::ops::conv2d(in[0], in[1], in[2], {1, 1})};
  };
  const auto f64 = [](uint64_t seed, std::vector<int64_t> size) {
    return gw::ops::normal(Rng(seed), size, 0, 1).to(at::kDouble);
  };
  EXPECT_LT(gw::test::gradient_error(one, {f64(1, {5, 2, 5, 5}), f64(2, {3, 2, 3, 3}), f64(3, {3})}), 1e-7);
}

TEST(Conv, SecondDerivativesAreRefused) {
  const auto x = at::ones({2, 2, 5, 5}).requires_grad_(true), w = at::ones({3, 2, 3, 3}).requires_grad_(true);
  const auto y = gw::ops::conv2d(x, w, {}, {1, 1});
  EXPECT_THROW(torch::autograd::grad({(y * y).sum()}, {w}, {}, true, /*create_graph=*/true), gw::ValueError);
}

}  // namespace gw::test::conv_cases
