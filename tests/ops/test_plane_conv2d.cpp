#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <limits>

#include "gatewright/base/error.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/max_pool.h"
#include "gatewright/ops/plane_conv2d.h"
#include "gatewright/ops/random.h"

namespace gw::test::plane_conv2d_cases {

using at::Tensor;

struct Case {
  int64_t images, in, out, height, width, kernel;
};

std::vector<Case> cases() {
  std::vector<Case> all{{1, 1, 1, 1, 1, 3}, {7, 3, 5, 1, 6, 3}, {1, 6, 6, 28, 28, 3}, {3, 2, 2, 65, 33, 3}};
  for (const int64_t in : {1, 3, 5, 8, 13, 17}) {
    for (const int64_t out : {1, 3, 5, 8, 13, 17}) {
      all.push_back({7, in, out, 7, 7, 3});
      all.push_back({in + out > 20 ? 1 : 19, in, out, 3, 4, 3});
      all.push_back({7, in, out, 5, 3, 1});
    }
  }
  return all;
}

Tensor random(uint64_t seed, at::IntArrayRef shape) { return gw::ops::normal(gw::Rng(seed), shape, 0, 1); }

struct Problem {
  explicit Problem(const Case& c)
      : x(random(1, {c.images, c.in, c.height, c.width})),
        w(random(2, {c.out, c.in, c.kernel, c.kernel})),
        b(random(3, {c.out})),
        up(random(4, {c.images, c.out, c.height, c.width})) {}
  Tensor x, w, b, up;
};

/// y and both gradients.
std::vector<Tensor> ours(const Problem& p, bool relu = false) {
  const auto x = p.x.detach().requires_grad_(true), w = p.w.detach().requires_grad_(true);
  const auto y = gw::ops::plane_conv2d(x, w, p.b, relu);
  const auto g = torch::autograd::grad({y}, {x, w}, {p.up});
  return {y.detach(), g[0], g[1]};
}

std::vector<Tensor> in_f64(const Problem& p, const Tensor& gate) {
  const auto x = p.x.to(at::kDouble).requires_grad_(true), w = p.w.to(at::kDouble).requires_grad_(true);
  auto y = at::conv2d(x, w, p.b.to(at::kDouble), 1, p.w.size(2) / 2);
  if (gate.defined()) y = y * gate.gt(0);  // by our signs: at a zero, rounding decides
  const auto g = torch::autograd::grad({y}, {x, w}, {p.up.to(at::kDouble)});
  return {y.detach(), g[0], g[1]};
}

void expect_close(const std::vector<Tensor>& got, const std::vector<Tensor>& want) {
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i].sizes(), want[i].sizes());
    ASSERT_LE((got[i] - want[i]).norm().item<double>(), 1e-6 * want[i].norm().item<double>())
        << "value " << i;
  }
}

TEST(PlaneConv2d, AgreesWithLibtorchInF64) {
  for (const auto& c : cases()) {
    SCOPED_TRACE(fmt::format("{} images, {} -> {}, {}x{}, kernel {}", c.images, c.in, c.out, c.height,
                             c.width, c.kernel));
    const Problem p(c);
    expect_close(ours(p), in_f64(p, {}));
    const auto gated = ours(p, true);
    expect_close(gated, in_f64(p, gated[0]));
    if (HasFatalFailure()) return;
  }
}

TEST(PlaneConv2d, OtherLayoutsGiveTheSameBits) {
  Problem p({5, 3, 4, 9, 8, 3});
  const auto want = ours(p);
  p.x = p.x.contiguous(at::MemoryFormat::ChannelsLast), p.w = p.w.contiguous(at::MemoryFormat::ChannelsLast);
  p.up = p.up.contiguous(at::MemoryFormat::ChannelsLast);
  const auto last = ours(p);
  p.x = at::cat({p.x, p.x}, 3).narrow(3, 0, 8), p.up = p.up.transpose(2, 3).contiguous().transpose(2, 3);
  const auto strided = ours(p);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(want[i].equal(last[i])) << i;
    EXPECT_TRUE(want[i].equal(strided[i])) << i;
  }
  p.up = at::ones({}).expand(p.up.sizes());
  EXPECT_TRUE(ours(p)[1].defined());
}

TEST(PlaneConv2d, NoBitDependsOnThreadsOrOnTheSplit) {
  for (const auto& c : std::vector<Case>{{61, 6, 12, 7, 7, 3}, {33, 1, 6, 28, 28, 3}, {70, 5, 9, 3, 3, 3}}) {
    const Problem p(c);
    const int before = at::get_num_threads();
    at::set_num_threads(1);
    const auto one = ours(p, true);
    for (const int threads : {2, 3}) {
      at::set_num_threads(threads);
      const auto more = ours(p, true);
      for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(one[i].equal(more[i])) << threads << " threads, value " << i;
    }
    for (const int64_t cut : {int64_t{1}, c.images / 2}) {
      std::vector<Tensor> y, dx;
      for (const auto& [start, count] : {std::pair{int64_t{0}, cut}, std::pair{cut, c.images - cut}}) {
        Problem part = p;
        part.x = p.x.narrow(0, start, count), part.up = p.up.narrow(0, start, count);
        const auto some = ours(part, true);
        y.push_back(some[0]), dx.push_back(some[1]);
      }
      EXPECT_TRUE(at::cat(y).equal(one[0])) << "cut at " << cut;
      EXPECT_TRUE(at::cat(dx).equal(one[1])) << "cut at " << cut;
    }
    at::set_num_threads(before);
  }
}

/// What is not finite reaches what it belongs to and nothing else: borders and slack must not spread it.
TEST(PlaneConv2d, WhatIsNotFiniteGoesWhereItBelongs) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (const float bad : {inf, -inf, nan}) {
    for (const auto& at :
         std::vector<std::vector<int64_t>>{{0, 0, 0, 0}, {4, 2, 6, 6}, {2, 1, 3, 6}, {2, 1, 6, 0}}) {
      for (const bool of_gradient : {false, true}) {
        Problem p({5, 3, 4, 7, 7, 3});
        (of_gradient ? p.up : p.x)
            .index_put_({at::tensor(at[0]), at::tensor(at[1]), at::tensor(at[2]), at::tensor(at[3])},
                        at::tensor(bad));
        const auto got = ours(p), want = in_f64(p, {});
        for (size_t i = 0; i < 3; ++i) {
          EXPECT_TRUE(got[i].isnan().equal(want[i].isnan()))
              << bad << " at " << testing::PrintToString(at) << ", value " << i;
          EXPECT_TRUE(got[i].isinf().equal(want[i].isinf()))
              << bad << " at " << testing::PrintToString(at) << ", value " << i;
        }
      }
    }
  }
}

TEST(PlaneConv2d, OnlyWantedGradientsAreComputed) {
  const Problem p({3, 2, 4, 6, 6, 3});
  const auto x = p.x.detach().requires_grad_(true), w = p.w.detach().requires_grad_(true);
  gw::ops::plane_conv2d(x, p.w, p.b).backward(p.up);
  gw::ops::plane_conv2d(p.x, w, p.b).backward(p.up);
  const auto want = ours(p);
  EXPECT_TRUE(x.grad().equal(want[1]));
  EXPECT_TRUE(w.grad().equal(want[2]));
  EXPECT_FALSE(p.w.grad().defined() || p.x.grad().defined());
}

TEST(PlaneConv2d, RefusesWhatItCannotDo) {
  const auto x = at::ones({2, 2, 5, 5}).requires_grad_(true), w = at::ones({3, 2, 3, 3}).requires_grad_(true);
  const auto y = gw::ops::plane_conv2d(x, w);
  EXPECT_THROW(torch::autograd::grad({(y * y).sum()}, {x}, {}, true, /*create_graph=*/true), gw::ValueError);
  EXPECT_THROW(gw::ops::plane_conv2d(x.to(at::kDouble), w), gw::ValueError);
  EXPECT_THROW(gw::ops::plane_conv2d(x, at::ones({3, 2, 5, 5})), gw::ValueError);
  EXPECT_THROW(gw::ops::plane_conv2d(x, at::ones({3, 1, 3, 3})), gw::ValueError);
  EXPECT_THROW(gw::ops::plane_conv2d(x, w, at::ones({3}).requires_grad_(true)), gw::ValueError);
}

TEST(PlaneConv2d, NoImagesGiveNone) {
  const auto w = at::ones({3, 2, 3, 3}).requires_grad_(true);
  const auto y = gw::ops::plane_conv2d(at::ones({0, 2, 5, 5}), w);
  EXPECT_EQ(y.sizes(), (at::IntArrayRef{0, 3, 5, 5}));
  y.sum().backward();
  EXPECT_TRUE(w.grad().equal(at::zeros({3, 2, 3, 3})));
}

/// The rule of ops::conv2d, seen by the layout of its answer; with a bias that is trained, and a ReLU.
TEST(PlaneConv2d, NarrowConvolutionsTakeIt) {
  const Problem p({2, 4, 6, 7, 7, 3});
  const auto last = [](const Tensor& t) { return t.contiguous(at::MemoryFormat::ChannelsLast); };
  const auto b = p.b.detach().requires_grad_(true);
  const auto y = gw::ops::conv2d(last(p.x), last(p.w), b, {1, 1}, true);
  EXPECT_TRUE(y.is_contiguous());
  const auto want = at::conv2d(p.x, p.w, b, 1, 1).relu();
  EXPECT_LT((y - want).abs().max().item<double>(), 1e-5);
  EXPECT_LT((torch::autograd::grad({y.sum()}, {b})[0] - torch::autograd::grad({want.sum()}, {b})[0])
                .norm()
                .item<double>(),
            1e-4);
  EXPECT_FALSE(gw::ops::plane_conv2d_pays(at::ones({1, 64, 7, 7}), at::ones({64, 64, 3, 3}), 1, 1));
  EXPECT_FALSE(gw::ops::plane_conv2d_pays(p.x, p.w, 2, 1));
  EXPECT_FALSE(gw::ops::plane_conv2d_pays(p.x.to(at::kDouble), p.w.to(at::kDouble), 1, 1));
}

TEST(MaxPool2, AgreesWithLibtorchAndItsGradient) {
  for (const auto& shape : std::vector<std::vector<int64_t>>{
           {3, 6, 28, 28}, {7, 5, 7, 7}, {1, 1, 2, 3}, {2, 3, 1, 8}, {0, 3, 4, 4}}) {
    const auto values = random(1, shape).mul(2).round();  // many ties
    for (const auto format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
      if (shape[2] == 1) continue;
      const auto a = values.clone().contiguous(format).requires_grad_(true),
                 b = values.clone().requires_grad_(true);
      const auto y = gw::ops::max_pool2(a), want = at::max_pool2d(b, {2, 2});
      ASSERT_TRUE(y.equal(want));
      const auto up = random(2, want.sizes());
      y.backward(up), want.backward(up);
      ASSERT_TRUE(a.grad().equal(b.grad()));
    }
  }
}

TEST(MaxPool2, SecondDerivativesAreRefused) {
  const auto x = random(1, {2, 2, 4, 4}).requires_grad_(true);
  const auto y = gw::ops::max_pool2(x);
  EXPECT_THROW(torch::autograd::grad({(y * y).sum()}, {x}, {}, true, /*create_graph=*/true), gw::ValueError);
}

}  // namespace gw::test::plane_conv2d_cases
