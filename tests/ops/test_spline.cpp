// B-splines against their recursion written out, what they add up to, and the layers that are made of them.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/error.h"
#include "gatewright/ops/random.h"
#include "gatewright/ops/spline.h"
#include "tests/support/gradcheck.h"

namespace gw::test::spline_cases {

double written_out(int64_t i, int64_t order, double x, double first, double step) {
  const auto knot = [&](int64_t j) { return first + static_cast<double>(j) * step; };
  if (order == 0) return x >= knot(i) && x < knot(i + 1) ? 1 : 0;
  const double width = static_cast<double>(order) * step;
  return (x - knot(i)) / width * written_out(i, order - 1, x, first, step) +
         (knot(i + order + 1) - x) / width * written_out(i + 1, order - 1, x, first, step);
}

TEST(BSplines, MatchTheRecursionForEveryGridAndOrder) {
  const auto x = ops::normal(Rng(1), {40, 1}, 0, 1.5).to(at::kDouble);
  for (const int64_t order : {0, 1, 2, 3, 5}) {
    for (const int64_t grid : {1, 3, 8}) {
      const ops::SplineGrid g{grid, order, 2.0};
      const double step = 4.0 / static_cast<double>(grid), first = -2 - static_cast<double>(order) * step;
      const auto found = ops::b_splines(x, g);
      ASSERT_EQ(found.size(1), g.splines());
      for (int64_t t = 0; t < 40; ++t) {
        for (int64_t i = 0; i < g.splines(); ++i)
          EXPECT_NEAR(found[t][i].item<double>(), written_out(i, order, x[t][0].item<double>(), first, step),
                      1e-12)
              << order << " " << grid;
      }
    }
  }
}

TEST(BSplines, AddUpToOneOnTheGridAndVanishFarOutside) {
  const ops::SplineGrid g{4, 3, 1.5};
  const auto inside = at::linspace(-1.5, 1.5, 61, at::kDouble).unsqueeze(1);  // both edges too
  const auto on_grid = ops::b_splines(inside, g);
  EXPECT_LT((on_grid.sum(1) - 1).abs().max().item<double>(), 1e-12);
  EXPECT_GE(on_grid.min().item<double>(), 0);
  const auto outside = at::tensor({-4.0, 4.0, 1e30}, at::kDouble).unsqueeze(1);
  EXPECT_TRUE(ops::b_splines(outside, g).eq(0).all().item<bool>());
  EXPECT_THROW(ops::b_splines(at::zeros({3}), g), gw::ValueError);
  EXPECT_THROW(ops::b_splines(inside, {0, 3, 1}), gw::ValueError);
}

TEST(BSplines, GradientsAreTheDerivatives) {
  const ops::SplineGrid g{3, 3, 1};
  const auto x = ops::uniform(Rng(2), {5, 2}, -1.4, 1.4).to(at::kDouble);
  const auto base = ops::normal(Rng(3), {3, 2}, 0, 1).to(at::kDouble),
             spline = ops::normal(Rng(4), {3, 2 * g.splines()}, 0, 1).to(at::kDouble);
  EXPECT_LT(gradient_error(
                [&](const auto& in) {
                  return std::vector<at::Tensor>{ops::kan_layer(in[0], at::silu(in[0]), in[1], in[2], g)};
                },
                {x, base, spline}),
            1e-7);
}

TEST(KanLayer, WithoutSplinesItIsItsBase) {
  const auto x = ops::normal(Rng(5), {4, 3}, 0, 1), base = ops::normal(Rng(6), {2, 3}, 0, 1);
  EXPECT_TRUE(ops::kan_layer(x, at::relu(x), base, {}, {}).allclose(at::matmul(at::relu(x), base.t())));
}

}  // namespace gw::test::spline_cases
