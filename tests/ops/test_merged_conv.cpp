#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "gatewright/base/error.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/merged_conv.h"
#include "gatewright/ops/random.h"

namespace gw::test::merged_conv_cases {

using at::Tensor;

struct Case {
  int64_t images, in, out, side, kernel, stride, experts;
};

std::vector<Case> cases() {
  return {{19, 1, 6, 14, 3, 1, 4}, {33, 6, 13, 7, 3, 1, 3}, {5, 13, 24, 3, 3, 1, 8}, {7, 3, 5, 5, 1, 1, 2},
          {1, 6, 6, 28, 3, 1, 1},  {4, 3, 4, 9, 3, 2, 3},   {3, 2, 4, 8, 1, 2, 2}};
}

Tensor random(uint64_t seed, at::IntArrayRef shape) { return gw::ops::normal(gw::Rng(seed), shape, 0, 1); }

struct Problem {
  explicit Problem(const Case& c)
      : shape{c.stride, c.kernel / 2},
        x(random(1, {c.images, c.in, c.side, c.side})),
        mixing(random(2, {c.images, c.experts}).sigmoid()),
        w(random(3, {c.experts * c.out, c.in, c.kernel, c.kernel})),
        b(random(4, {c.out})) {
    const int64_t side = (c.side + 2 * shape.padding - c.kernel) / c.stride + 1;
    up = random(5, {c.images, c.out, side, side});
  }
  gw::ops::ConvShape shape;
  Tensor x, mixing, w, b, up;
};

/// y and the gradients of x, mixing and weight.
std::vector<Tensor> ours(const Problem& p, bool relu = false) {
  const auto x = p.x.detach().requires_grad_(true), m = p.mixing.detach().requires_grad_(true),
             w = p.w.detach().requires_grad_(true);
  const auto y = gw::ops::merged_conv2d(x, m, w, p.shape, p.b, relu);
  const auto g = torch::autograd::grad({y}, {x, m, w}, {p.up});
  return {y.detach(), g[0], g[1], g[2]};
}

/// One convolution for each expert, weighed and added: the definition, in f64.
std::vector<Tensor> by_definition(const Problem& p, const Tensor& gate) {
  const auto x = p.x.to(at::kDouble).requires_grad_(true), m = p.mixing.to(at::kDouble).requires_grad_(true),
             w = p.w.to(at::kDouble).requires_grad_(true);
  const auto kernels = w.chunk(m.size(1), 0);
  Tensor y = p.b.to(at::kDouble).view({1, -1, 1, 1});
  for (int64_t e = 0; e < m.size(1); ++e) {
    const auto one = at::conv2d(x, kernels[static_cast<size_t>(e)], {}, p.shape.stride, p.shape.padding);
    y = y + m.select(1, e).view({-1, 1, 1, 1}) * one;
  }
  if (gate.defined()) y = y * gate.gt(0);  // by our signs: at a zero, rounding decides
  const auto g = torch::autograd::grad({y}, {x, m, w}, {p.up.to(at::kDouble)});
  return {y.detach(), g[0], g[1], g[2]};
}

void expect_close(const std::vector<Tensor>& got, const std::vector<Tensor>& want) {
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i].sizes(), want[i].sizes());
    // A share of the mixing is one sum over all pixels and channels, in level ref value after value.
    const double tolerance = i == 2 ? 1e-5 : 2e-6;
    ASSERT_LE((got[i] - want[i]).norm().item<double>(), tolerance * want[i].norm().item<double>())
        << "value " << i;
  }
}

TEST(MergedConv, IsTheSumOfItsExpertsConvolutions) {
  for (const auto& c : cases()) {
    SCOPED_TRACE(fmt::format("{} images, {} -> {}, side {}, kernel {}, stride {}, {} experts", c.images, c.in,
                             c.out, c.side, c.kernel, c.stride, c.experts));
    const Problem p(c);
    expect_close(ours(p), by_definition(p, {}));
    const auto gated = ours(p, true);
    expect_close(gated, by_definition(p, gated[0]));
    if (HasFatalFailure()) return;
  }
}

TEST(MergedConv, GradientsComeOnlyWhereTheyAreAskedFor) {
  const Problem p(cases()[1]);
  const auto all = ours(p);
  const std::vector<Tensor> inputs{p.x, p.mixing, p.w};
  for (size_t i = 0; i < inputs.size(); ++i) {
    auto some = inputs;
    some[i] = some[i].detach().requires_grad_(true);
    const auto y = gw::ops::merged_conv2d(some[0], some[1], some[2], p.shape, p.b);
    EXPECT_TRUE(torch::autograd::grad({y}, {some[i]}, {p.up})[0].equal(all[i + 1])) << i;
  }
}

// The same bits whoever computes them, and images by themselves: y and the gradients of images and mixing.
TEST(MergedConv, ThreadsAndSplitsLeaveTheBits) {
  const Problem p(cases()[1]);
  const auto whole = ours(p);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto alone = ours(p);
  at::set_num_threads(before);
  for (size_t i = 0; i < whole.size(); ++i) EXPECT_TRUE(whole[i].equal(alone[i])) << i;
  auto part = p;
  part.x = p.x.narrow(0, 5, 1), part.mixing = p.mixing.narrow(0, 5, 1), part.up = p.up.narrow(0, 5, 1);
  const auto one = ours(part);
  for (const size_t i : {0, 1, 2}) EXPECT_TRUE(one[i].equal(whole[i].narrow(0, 5, 1))) << i;
}

TEST(MergedConv, AnEmptyBatchIsEmpty) {
  const auto y =
      gw::ops::merged_conv2d(at::zeros({0, 3, 8, 8}), at::zeros({0, 2}), at::zeros({8, 3, 3, 3}), {});
  EXPECT_EQ(y.sizes(), (std::vector<int64_t>{0, 4, 8, 8}));
}

TEST(MergedConv, CostsOneConvolutionAndTheMerging) {
  const Problem p(cases()[1]);
  const gw::ops::CostRecorder recorder;
  gw::ops::merged_conv2d(p.x, p.mixing, p.w, p.shape);
  EXPECT_EQ(recorder.macs(), 33 * (7 * 7 * 6 * 13 * 9 + 3 * 6 * 13 * 9));
}

TEST(MergedConv, ShapesThatDoNotFitAreRefused) {
  const Problem p(cases()[1]);
  EXPECT_THROW(gw::ops::merged_conv2d(p.x, p.mixing.narrow(0, 0, 2), p.w, p.shape), gw::ValueError);
  EXPECT_THROW(gw::ops::merged_conv2d(p.x, p.mixing.narrow(1, 0, 2), p.w, p.shape), gw::ValueError);
  EXPECT_THROW(gw::ops::merged_conv2d(p.x, p.mixing.to(at::kDouble), p.w, p.shape), gw::ValueError);
  EXPECT_THROW(gw::ops::merged_conv2d(p.x, p.mixing, p.w, p.shape, p.b.narrow(0, 0, 3)), gw::ValueError);
}

}  // namespace gw::test::merged_conv_cases
