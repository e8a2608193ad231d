#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "gatewright/base/error.h"
#include "gatewright/base/rng.h"
#include "gatewright/ops/bucket_norm.h"
#include "gatewright/ops/random.h"
#include "tests/support/gradcheck.h"

namespace gw::test::bucket_norm_cases {

using at::Tensor;
using gw::ops::NormParameters;
using List = std::vector<Tensor>;

Tensor values(uint64_t seed, at::IntArrayRef shape, at::ScalarType type = at::kDouble, double mean = 0) {
  return gw::ops::normal(gw::Rng(seed), shape, mean, 1).to(type);
}

Tensor image(uint64_t seed, at::IntArrayRef shape, at::ScalarType type = at::kDouble, double mean = 0) {
  return values(seed, shape, type, mean).contiguous(at::MemoryFormat::ChannelsLast);
}

NormParameters parameters(int64_t channels, at::ScalarType type = at::kDouble) {
  return {values(11, {channels}, type, 1), values(12, {channels}, type), values(13, {channels}, type),
          values(14, {channels}, type).abs() + 0.5};
}

double distance(const Tensor& got, const Tensor& want) {
  EXPECT_EQ(got.sizes(), want.sizes());
  if (got.numel() == 0) return 0;
  return (got - want).abs().max().item<double>() / (1e-30 + want.abs().max().item<double>());
}

struct Case {
  at::ScalarType type;
  bool train, relu, residual;
};

/// Ours on a list of two buckets against libtorch on their concatenation.
struct AgainstTorch : testing::TestWithParam<Case> {};

TEST_P(AgainstTorch, ForwardBackwardAndRunningStatistics) {
  const auto [type, train, relu, residual] = GetParam();
  const double tolerance = type == at::kDouble ? 1e-12 : 1e-5;
  for (const int64_t channels : {1, 3, 16, 37}) {
    auto ours = parameters(channels, type), theirs = parameters(channels, type);
    for (auto* p : {&ours, &theirs}) p->weight.requires_grad_(true), p->bias.requires_grad_(true);
    const auto all = image(1, {9, channels, 7, 6}, type, 2), also = image(2, {9, channels, 7, 6}, type),
               up = image(3, {9, channels, 7, 6}, type);
    List x{all.slice(0, 0, 5).clone().requires_grad_(true), all.slice(0, 5).clone().requires_grad_(true)}, r;
    if (residual)
      r = {also.slice(0, 0, 5).clone().requires_grad_(true), also.slice(0, 5).clone().requires_grad_(true)};
    const auto y = gw::ops::bucket_norm(x, ours, train, relu, r);
    EXPECT_TRUE(y[0].is_contiguous(at::MemoryFormat::ChannelsLast));
    const auto x2 = all.clone().requires_grad_(true), r2 = also.clone().requires_grad_(true);
    auto y2 = at::batch_norm(x2, theirs.weight, theirs.bias, theirs.running_mean, theirs.running_var, train,
                             0.1, 1e-5, false);
    if (residual) y2 = y2 + r2;
    if (relu) y2 = y2.relu();
    EXPECT_LT(distance(at::cat(y), y2), tolerance);
    EXPECT_LT(distance(ours.running_mean, theirs.running_mean), tolerance);
    EXPECT_LT(distance(ours.running_var, theirs.running_var), tolerance);
    torch::autograd::backward({y[0], y[1]}, {up.slice(0, 0, 5), up.slice(0, 5)});
    torch::autograd::backward({y2}, {up});
    EXPECT_LT(distance(at::cat({x[0].grad(), x[1].grad()}), x2.grad()), tolerance);
    EXPECT_LT(distance(ours.weight.grad(), theirs.weight.grad()), tolerance);
    EXPECT_LT(distance(ours.bias.grad(), theirs.bias.grad()), tolerance);
    if (residual) {
      EXPECT_LT(distance(at::cat({r[0].grad(), r[1].grad()}), r2.grad()), tolerance);
    }
  }
}

std::vector<Case> cases() {
  std::vector<Case> result;
  for (const auto type : {at::kFloat, at::kDouble})
    for (const bool train : {false, true})
      for (const bool relu : {false, true})
        for (const bool residual : {false, true}) result.push_back({type, train, relu, residual});
  return result;
}
INSTANTIATE_TEST_SUITE_P(BucketNorm, AgainstTorch, testing::ValuesIn(cases()));

TEST(BucketNorm, GradientsMatchCentralDifferences) {
  for (const bool train : {false, true}) {
    const auto f = [&](const List& in) {
      auto p = parameters(3);
      p.weight = in[3], p.bias = in[4];
      return gw::ops::bucket_norm({in[0], in[1], in[2]}, p, train, true, {in[5], in[6], in[7]});
    };
    const List inputs{image(1, {2, 3, 3, 2}),  values(2, {0, 3, 3, 2}), image(3, {3, 3, 1, 1}),
                      values(4, {3}),          values(5, {3}),          image(6, {2, 3, 3, 2}),
                      values(7, {0, 3, 3, 2}), image(8, {3, 3, 1, 1})};
    EXPECT_LT(gw::test::gradient_error(f, inputs), 1e-7) << "train = " << train;
  }
}

TEST(BucketNorm, PlainTwoDimensionalInput) {
  const auto f = [&](const List& in) {
    auto p = parameters(4);
    return gw::ops::bucket_norm({in[0], in[1]}, p, true, false);
  };
  EXPECT_LT(gw::test::gradient_error(f, {values(1, {5, 4}), values(2, {3, 4})}), 1e-7);
}

/// Everything that a training step gives, in one list.
List step(const List& x, const List& residual, const List& up) {
  auto p = parameters(x[0].size(1), at::kFloat);
  p.weight.requires_grad_(true), p.bias.requires_grad_(true);
  List in, r;
  for (const auto& t : x) in.push_back(t.clone().requires_grad_(true));
  for (const auto& t : residual) r.push_back(t.clone().requires_grad_(true));
  const auto y = gw::ops::bucket_norm(in, p, true, true, r);
  torch::autograd::backward(y, up);
  List dx, dr;
  for (const auto& t : in) dx.push_back(t.grad());
  for (const auto& t : r) dr.push_back(t.grad());
  return {at::cat(y),    at::cat(dx),    at::cat(dr),  p.weight.grad(),
          p.bias.grad(), p.running_mean, p.running_var};
}

List split(const Tensor& x, const std::vector<int64_t>& sizes) {
  const bool planes = x.is_contiguous();
  List parts;
  for (const auto& part : x.split_with_sizes(sizes))
    parts.push_back(part.contiguous(planes ? at::MemoryFormat::Contiguous : at::MemoryFormat::ChannelsLast));
  return parts;
}

void expect_same_bits(const Tensor& x, const Tensor& r, const Tensor& up) {
  const auto threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto want = step({x}, {r}, {up});
  for (const int count : {1, 2, 3}) {
    at::set_num_threads(count);
    for (const auto& sizes :
         std::vector<std::vector<int64_t>>{{61}, {30, 31}, {0, 1, 0, 17, 3, 40, 0}, {60, 1}}) {
      const auto got = step(split(x, sizes), split(r, sizes), split(up, sizes));
      for (size_t i = 0; i < want.size(); ++i)
        EXPECT_TRUE(at::equal(got[i], want[i])) << "value " << i << ", " << count << " threads";
    }
  }
  at::set_num_threads(threads);
}

TEST(BucketNorm, BitsDoNotDependOnThreadsOrOnTheSplit) {
  const std::vector<int64_t> shape{61, 13, 11, 9};
  const auto x = image(1, shape, at::kFloat, 5), r = image(2, shape, at::kFloat),
             up = image(3, shape, at::kFloat);
  expect_same_bits(x, r, up);
  expect_same_bits(x.contiguous(), r.contiguous(), up.contiguous());
}

TEST(BucketNorm, MeanOf1000CostsNoDigits) {
  const auto x = image(1, {16, 5, 30, 30}, at::kFloat, 1000);
  auto p = parameters(5, at::kFloat), exact = parameters(5);
  for (auto* t : {&p.weight, &p.bias, &p.running_mean, &p.running_var})
    t->copy_(t == &p.running_var || t == &p.weight ? at::ones({5}) : at::zeros({5}));
  exact = {p.weight.to(at::kDouble), p.bias.to(at::kDouble), p.running_mean.to(at::kDouble),
           p.running_var.to(at::kDouble)};
  const auto y = gw::ops::bucket_norm({x}, p, true, false)[0];
  const auto want = at::batch_norm(x.to(at::kDouble), exact.weight, exact.bias, exact.running_mean,
                                   exact.running_var, true, 0.1, 1e-5, false);
  EXPECT_LT((y.to(at::kDouble) - want).abs().max().item<double>(), 2e-6);
  EXPECT_LT(distance(p.running_var.to(at::kDouble), exact.running_var), 1e-6);
  EXPECT_LT(distance(p.running_mean.to(at::kDouble), exact.running_mean), 1e-6);
}

TEST(BucketNorm, OutlierInTheFirstRowKeepsTheVariance) {
  auto x = values(1, {512, 3}, at::kFloat);
  x[0].fill_(1e4);  // the shift of the first chunk
  NormParameters p{at::ones({3}), at::zeros({3}), at::zeros({3}), at::zeros({3})};
  p.momentum = 1;
  gw::ops::bucket_norm({x}, p, true, false);
  // One value at 10^4 deviations costs a factor 257 of f32's 6e-8, times the growth of a sum of 256 equal
  // terms.
  EXPECT_LT(distance(p.running_var.to(at::kDouble), x.to(at::kDouble).var(0)), 4e-4);
}

TEST(BucketNorm, UnusedBucketCountsAsZeroGradient) {
  const auto a = image(1, {2, 3, 4, 4}), b = image(2, {3, 3, 4, 4});
  for (const bool train : {false, true}) {
    auto p = parameters(3);
    const auto x = a.clone().requires_grad_(true), unused = b.clone().requires_grad_(true);
    const auto y = gw::ops::bucket_norm({x, unused}, p, train, true);
    const auto got = torch::autograd::grad({(y[0] * y[0]).sum()}, {x, unused});
    auto q = parameters(3);
    const auto x2 = a.clone().requires_grad_(true), b2 = b.clone().requires_grad_(true);
    const auto y2 = gw::ops::bucket_norm({x2, b2}, q, train, true);
    const auto want = torch::autograd::grad({(y2[0] * y2[0]).sum() + (y2[1] * 0).sum()}, {x2, b2});
    EXPECT_TRUE(at::equal(got[0], want[0]));
    EXPECT_TRUE(at::equal(got[1], want[1]));
    EXPECT_EQ(got[1].abs().max().item<double>() > 0, train);
  }
}

TEST(BucketNorm, OtherLayoutsGiveTheSame) {
  const auto x = values(1, {4, 6, 5, 5}, at::kFloat);
  auto p = parameters(6, at::kFloat), q = parameters(6, at::kFloat);
  const auto plain = x.clone().requires_grad_(true),
             last = x.contiguous(at::MemoryFormat::ChannelsLast).requires_grad_(true);
  const auto a = gw::ops::bucket_norm({plain}, p, true, true)[0],
             b = gw::ops::bucket_norm({last}, q, true, true)[0];
  EXPECT_TRUE(a.is_contiguous());
  EXPECT_TRUE(b.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_LT(distance(a, b), 1e-6);
  a.sum().backward(), b.sum().backward();  // an expanded gradient with strides 0
  EXPECT_LT((plain.grad() - last.grad()).abs().max().item<double>(), 1e-5);
}

/// Contiguous maps of few channels run on planes, channels-last ones on rows: the same mathematics.
TEST(BucketNorm, PlanesGiveWhatRowsGive) {
  for (const auto type : {at::kFloat, at::kDouble}) {
    for (const auto& shape : std::vector<std::vector<int64_t>>{{9, 6, 7, 7}, {5, 3, 28, 27}, {4, 2, 1, 5}}) {
      const auto x = values(1, shape, type, 2), r = values(2, shape, type), up = values(3, shape, type);
      for (const bool train : {false, true}) {
        std::vector<List> got;
        for (const auto format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
          auto p = parameters(shape[1], type);
          p.weight.requires_grad_(true), p.bias.requires_grad_(true);
          const auto in = x.clone().contiguous(format).requires_grad_(true),
                     also = r.clone().contiguous(format).requires_grad_(true);
          const auto y = gw::ops::bucket_norm({in.narrow(0, 0, 2), in.narrow(0, 2, shape[0] - 2)}, p, train,
                                              true, {also.narrow(0, 0, 2), also.narrow(0, 2, shape[0] - 2)});
          at::cat(y).backward(up);
          got.push_back({at::cat(y), in.grad(), also.grad(), p.weight.grad(), p.bias.grad(), p.running_mean,
                         p.running_var});
        }
        for (size_t i = 0; i < got[0].size(); ++i)
          EXPECT_LT(distance(got[0][i], got[1][i]), type == at::kFloat ? 1e-5 : 1e-12) << i << ", " << train;
      }
    }
  }
}

TEST(BucketNorm, NoRowsGiveEmptiesAndLeaveTheStatistics) {
  auto p = parameters(3, at::kFloat);
  p.weight.requires_grad_(true);
  const auto before = p.running_mean.clone(), variance = p.running_var.clone();
  const auto y = gw::ops::bucket_norm({at::empty({0, 3, 4, 4}), at::empty({0, 3, 2, 2})}, p, true, true);
  EXPECT_EQ(y[0].sizes(), (at::IntArrayRef{0, 3, 4, 4}));
  EXPECT_TRUE(at::equal(p.running_mean, before));
  EXPECT_TRUE(at::equal(p.running_var, variance));
  y[0].sum().backward();
  EXPECT_TRUE(at::equal(p.weight.grad(), at::zeros({3})));
}

TEST(BucketNorm, RefusesWhatItCannotDo) {
  auto p = parameters(3, at::kFloat);
  EXPECT_THROW(gw::ops::bucket_norm({at::ones({1, 3, 1, 1})}, p, true, true), gw::ValueError);
  EXPECT_NO_THROW(gw::ops::bucket_norm({at::ones({1, 3, 1, 1})}, p, false, true));
  EXPECT_THROW(gw::ops::bucket_norm({}, p, true, true), gw::ValueError);
  EXPECT_THROW(gw::ops::bucket_norm({at::ones({4, 3, 2})}, p, true, true), gw::ValueError);
  EXPECT_THROW(gw::ops::bucket_norm({at::ones({4, 4})}, p, true, true), gw::ValueError);
  EXPECT_THROW(gw::ops::bucket_norm({at::ones({4, 3}), at::ones({4, 2})}, p, true, true), gw::ValueError);
  EXPECT_THROW(gw::ops::bucket_norm({at::ones({4, 3}, at::kDouble)}, p, true, true), gw::ValueError);
  EXPECT_THROW(gw::ops::bucket_norm({at::ones({4, 3}, at::kHalf)}, p, true, true), gw::ValueError);
  EXPECT_THROW(gw::ops::bucket_norm({at::ones({4, 3})}, p, true, true, {at::ones({3, 3})}), gw::ValueError);
  p.running_var = Tensor();
  EXPECT_THROW(gw::ops::bucket_norm({at::ones({4, 3})}, p, true, true), gw::ValueError);
  p.running_mean = Tensor();
  EXPECT_NO_THROW(gw::ops::bucket_norm({at::ones({4, 3})}, p, true, true));
  EXPECT_THROW(gw::ops::bucket_norm({at::ones({4, 3})}, p, false, true), gw::ValueError);
}

TEST(BucketNorm, RefusesSecondDerivatives) {
  auto p = parameters(3);
  const auto x = values(1, {4, 3}).requires_grad_(true);
  const auto y = gw::ops::bucket_norm({x}, p, true, false)[0];
  EXPECT_THROW(torch::autograd::grad({(y * y).sum()}, {x}, {}, true, /*create_graph=*/true), gw::ValueError);
}

}  // namespace gw::test::bucket_norm_cases
