#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <limits>

#include "gatewright/base/error.h"
#include "gatewright/base/rng.h"
#include "gatewright/ops/random.h"
#include "gatewright/ops/straight_through.h"
#include "tests/support/gradcheck.h"

namespace gw::test::straight_through_cases {

using at::Tensor;
using gw::ops::apply_route_weight;
using gw::ops::straight_through_one_hot;
using List = std::vector<Tensor>;

Tensor values(uint64_t seed, at::IntArrayRef shape, at::ScalarType type = at::kDouble) {
  return gw::ops::normal(gw::Rng(seed), shape, 0, 1).to(type);
}

TEST(StraightThrough, OneHotTakesTheLowestOfTies) {
  for (const auto type : {at::kFloat, at::kDouble}) {
    const auto scores = at::tensor({1.0, 3.0, 3.0, 2.0, 2.0, 2.0, -1.0, -2.0, -0.5}, type).view({3, 3});
    const auto want = at::tensor({0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0}, type).view({3, 3});
    EXPECT_TRUE(at::equal(straight_through_one_hot(scores), want));
    EXPECT_TRUE(at::equal(straight_through_one_hot(scores.t().contiguous().t()), want));
  }
}

TEST(StraightThrough, OneHotPassesTheGradientUnchanged) {
  const auto scores = values(1, {5, 4}).requires_grad_(true), up = values(2, {5, 4});
  straight_through_one_hot(scores).backward(up);
  EXPECT_TRUE(at::equal(scores.grad(), up));
}

TEST(StraightThrough, OneHotRefusesNanAndOddShapes) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  EXPECT_THROW(straight_through_one_hot(at::tensor({1.0, nan}).view({1, 2})), gw::ValueError);
  EXPECT_TRUE(at::equal(straight_through_one_hot(at::tensor({-inf, 1.0}).view({1, 2})),
                        at::tensor({0.0, 1.0}).view({1, 2})));
  EXPECT_EQ(straight_through_one_hot(at::empty({0, 3})).size(0), 0);
  EXPECT_THROW(straight_through_one_hot(at::empty({3, 0})), gw::ValueError);
  EXPECT_THROW(straight_through_one_hot(at::empty({3})), gw::ValueError);
  EXPECT_THROW(straight_through_one_hot(at::zeros({3, 2}, at::kLong)), gw::ValueError);
}

TEST(RouteWeight, GradientsMatchCentralDifferences) {
  const auto f = [](const List& in) { return List{apply_route_weight(in[0], in[1], false)}; };
  const auto image = values(1, {3, 5, 2, 3});
  EXPECT_LT(gw::test::gradient_error(f, {image, values(2, {3})}), 1e-8);
  EXPECT_LT(gw::test::gradient_error(f, {image.contiguous(at::MemoryFormat::ChannelsLast), values(2, {3})}),
            1e-8);
  EXPECT_LT(gw::test::gradient_error(f, {values(3, {4, 21}), values(4, {4})}), 1e-8);
}

TEST(RouteWeight, OneReturnsTheSameMemoryAndTheSameGradients) {
  for (const auto type : {at::kFloat, at::kDouble}) {
    const auto x = values(1, {3, 5, 4, 3}, type).contiguous(at::MemoryFormat::ChannelsLast),
               one = at::ones({3}, type), up = values(2, {3, 5, 4, 3}, type);
    EXPECT_TRUE(apply_route_weight(x, one, true).is_same(x));
    List gradients[2];
    for (const bool is_one : {false, true}) {
      const auto leaf = x.clone().requires_grad_(true), weight = one.clone().requires_grad_(true);
      const auto y = apply_route_weight(leaf, weight, is_one);
      EXPECT_EQ(y.data_ptr() == leaf.data_ptr(), is_one);
      EXPECT_TRUE(at::equal(y, leaf));
      EXPECT_TRUE(y.is_contiguous(at::MemoryFormat::ChannelsLast));
      gradients[is_one] = torch::autograd::grad({y}, {leaf, weight}, {up});
    }
    EXPECT_TRUE(at::equal(gradients[0][0], gradients[1][0]));
    EXPECT_TRUE(at::equal(gradients[0][1], gradients[1][1]));
    const auto exact = (up * x).to(at::kDouble).sum({1, 2, 3});
    EXPECT_TRUE(at::allclose(gradients[1][1].to(at::kDouble), exact, 1e-5, 1e-5));
  }
}

TEST(RouteWeight, HardRoutesSendTheGradientToTheGate) {
  const auto scores = values(1, {3, 2}).requires_grad_(true), x = values(2, {3, 7});
  const auto one_hot = straight_through_one_hot(scores);
  const auto y = apply_route_weight(x, std::get<0>(one_hot.max(1)), true);
  y.sum().backward();
  EXPECT_TRUE(at::allclose(scores.grad(), one_hot.detach() * x.sum(1, true)));
}

TEST(RouteWeight, OnlyWhatIsAskedFor) {
  const auto x = values(1, {3, 4}), weight = values(2, {3}).requires_grad_(true);
  apply_route_weight(x, weight, false).sum().backward();
  EXPECT_TRUE(at::allclose(weight.grad(), x.sum(1)));
  const auto leaf = x.clone().requires_grad_(true);
  apply_route_weight(leaf, weight.detach(), false).sum().backward();
  EXPECT_TRUE(at::allclose(leaf.grad(), weight.detach().view({3, 1}).expand({3, 4})));
}

TEST(RouteWeight, NoRowsAndWrongArguments) {
  const auto weight = at::empty({0}).requires_grad_(true);
  const auto y = apply_route_weight(at::empty({0, 3, 2, 2}), weight, false);
  y.sum().backward();
  EXPECT_EQ(weight.grad().numel(), 0);
  EXPECT_THROW(apply_route_weight(at::ones({2, 3}), at::ones({3}), false), gw::ValueError);
  EXPECT_THROW(apply_route_weight(at::ones({2, 3}), at::ones({2}, at::kDouble), false), gw::ValueError);
}

TEST(RouteWeight, BitsDoNotDependOnThreads) {
  const auto x = values(1, {16, 3000}, at::kFloat), w = values(2, {16}, at::kFloat),
             up = values(3, {16, 3000}, at::kFloat);
  const auto threads = at::get_num_threads();
  List got;
  for (const int count : {1, 2}) {
    at::set_num_threads(count);
    const auto weight = w.clone().requires_grad_(true);
    apply_route_weight(x, weight, false).backward(up);
    got.push_back(weight.grad());
  }
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(got[0], got[1]));
}

}  // namespace gw::test::straight_through_cases
