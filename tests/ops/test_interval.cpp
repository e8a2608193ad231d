// Interval bounds against sampled images, against the corner that attains them, and against f32 rounding.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/error.h"
#include "gatewright/ops/interval.h"
#include "gatewright/ops/random.h"

namespace gw::test::interval_cases {

using gw::ops::Interval;

at::Tensor normal(uint64_t seed, at::IntArrayRef shape) {
  return gw::ops::normal(gw::Rng(seed), shape, 0, 1);
}
at::Tensor f64(uint64_t seed, at::IntArrayRef shape) { return normal(seed, shape).to(at::kDouble); }
at::Tensor images(uint64_t seed, int64_t n) {
  return gw::ops::uniform(gw::Rng(seed), {n, 3, 9, 8}, 0, 1).to(at::kDouble);
}
at::Tensor radius(int64_t n, double value) { return at::full({n}, value, at::kDouble); }

/// An image of the ball: uniform for odd draws, a corner for even ones.
at::Tensor drawn(const Interval& ball, uint64_t seed) {
  auto u = gw::ops::uniform(gw::Rng(seed), ball.centre.sizes(), -1, 1).to(at::kDouble);
  if (seed % 2 == 0) u = u.sign();
  return ball.centre + u * ball.radius;
}

TEST(Interval, TheBallStaysInsidePixelsAndARadiusOfZeroIsTheImage) {
  const auto x = images(1, 4);
  const auto ball = gw::ops::pixel_ball(x, radius(4, 0.2));
  EXPECT_GE(ball.low().min().item<double>(), -1e-15);
  EXPECT_LE(ball.high().max().item<double>(), 1 + 1e-15);
  EXPECT_TRUE(ball.low().le((x - 0.2).clamp_min(0) + 1e-15).all().item<bool>());
  EXPECT_TRUE(ball.high().ge((x + 0.2).clamp_max(1) - 1e-15).all().item<bool>());
  const auto point = gw::ops::pixel_ball(x, radius(4, 0));
  EXPECT_TRUE(point.centre.equal(x));
  EXPECT_EQ(point.radius.abs().max().item<double>(), 0);
  EXPECT_THROW(gw::ops::pixel_ball(x, radius(3, 0.1)), gw::ValueError);
}

TEST(Interval, EveryLayerHoldsWhatItsLayerMakesOfTheBall) {
  const auto x = images(2, 5);
  const auto w1 = f64(3, {4, 3, 3, 3}), b1 = f64(4, {4}), w2 = f64(5, {6, 4, 3, 3}), b2 = f64(6, {6});
  const gw::ops::ConvShape shape{2, 1};
  const auto ball = gw::ops::pixel_ball(x, radius(5, 0.05));
  const auto first = gw::ops::interval_relu(gw::ops::interval_conv2d(ball, w1, b1, shape));
  const auto second = gw::ops::interval_relu(gw::ops::interval_conv2d(first, w2, b2, shape));
  const auto rows = gw::ops::interval_pool(second, 2);
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    const auto image = drawn(ball, seed);
    auto y = at::conv2d(image, w1, b1, {2, 2}, {1, 1}).relu();
    EXPECT_TRUE(((y - first.centre).abs() - first.radius).le(1e-12).all().item<bool>());
    y = at::conv2d(y, w2, b2, {2, 2}, {1, 1}).relu();
    EXPECT_TRUE(((y - second.centre).abs() - second.radius).le(1e-12).all().item<bool>());
    y = at::adaptive_avg_pool2d(y, {2, 2}).flatten(1);
    EXPECT_TRUE(((y - rows.centre).abs() - rows.radius).le(1e-12).all().item<bool>());
  }
}

// One linear layer over pixels: the worst image is a corner, and the bound is its lead.
TEST(Interval, ALeadOfLinearScoresIsThatOfItsWorstImage) {
  const auto x = images(7, 6);
  const auto weight = f64(8, {4, 3 * 9 * 8}), bias = f64(9, {4});
  const auto first = at::tensor({0, 3, 1, 2, 2, 0}, at::kLong);
  const auto ball = gw::ops::pixel_ball(x, radius(6, 0.1));
  const auto leads =
      gw::ops::interval_leads({ball.centre.flatten(1), ball.radius.flatten(1)}, weight, bias, first);
  for (int64_t b = 0; b < 6; ++b) {
    const int64_t own = first[b].item<int64_t>();
    for (int64_t j = 0; j < 4; ++j) {
      const auto d = weight[own] - weight[j];
      const auto worst = at::where(d.gt(0), ball.low()[b].flatten(), ball.high()[b].flatten());
      const double exact = ((d * worst).sum() + bias[own] - bias[j]).item<double>();
      const double bound = leads[b][j].item<double>();
      EXPECT_LE(bound, exact + 1e-12);
      EXPECT_GT(bound, exact - 1e-2) << "rounding of 216 terms in f32, at worst";
      if (j == own) {
        EXPECT_EQ(bound, 0);
      }
    }
  }
}

// At radius 0 the bounds are of the f32 result in any order of summation: f32 may lie below f64, never below
// the bound.
TEST(Interval, TheRoundingOfF32IsCountedIn) {
  const auto x = gw::ops::uniform(gw::Rng(10), {64, 3, 9, 8}, 0, 1);
  const auto w = normal(11, {8, 3, 3, 3}) * 100, b = normal(12, {8}) * 100;
  const auto head = normal(13, {3, 8 * 4}) * 100, bias = normal(14, {3});
  const auto maps = gw::ops::conv2d(x, w, b, {2, 1}, true);
  const auto scores = at::linear(at::adaptive_avg_pool2d(maps, {2, 2}).flatten(1), head, bias);
  const auto first = scores.argmax(1);
  const auto computed = scores.gather(1, first.unsqueeze(1)) - scores;
  const auto exact = gw::ops::interval_relu(
      gw::ops::interval_conv2d(gw::ops::pixel_ball(x.to(at::kDouble), radius(64, 0)), w, b, {2, 1}));
  const auto leads = gw::ops::interval_leads(gw::ops::interval_pool(exact, 2), head, bias, first);
  EXPECT_TRUE(leads.le(computed.to(at::kDouble) + 1e-9).all().item<bool>());
  EXPECT_LT((computed.to(at::kDouble) - leads).abs().max().item<double>(),
            1e-3 * computed.max().item<double>());
}

TEST(Interval, BoundsCarryGradients) {
  const auto x = images(15, 3);
  const auto w = f64(16, {4, 3, 3, 3}).requires_grad_(), b = f64(17, {4}).requires_grad_();
  const auto head = f64(18, {2, 16}).requires_grad_(), bias = f64(19, {2}).requires_grad_();
  const auto rows = gw::ops::interval_pool(
      gw::ops::interval_relu(gw::ops::interval_conv2d(gw::ops::pixel_ball(x, radius(3, 0.1)), w, b, {2, 1})),
      2);
  gw::ops::interval_leads(rows, head, bias, at::zeros({3}, at::kLong)).sum().backward();
  for (const auto& p : {w, b, head, bias}) EXPECT_GT(p.grad().abs().sum().item<double>(), 0);
}

}  // namespace gw::test::interval_cases
