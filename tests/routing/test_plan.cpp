#include <gtest/gtest.h>

#include "gatewright/base/error.h"
#include "gatewright/routing/load.h"
#include "gatewright/routing/plan.h"

namespace gw::test::plan_cases {

using gw::RoutingPlan;

at::Tensor ids(std::vector<int64_t> values, int64_t k) { return at::tensor(values, at::kLong).view({-1, k}); }

TEST(Plan, SortsRowsByExpertThenToken) {
  const auto weight = at::tensor({0.1, 0.2, 0.3, 0.4, 0.5, 0.6}).view({3, 2});
  const auto plan = gw::make_plan(ids({2, 0, 0, 1, 1, 2}, 2), weight, 4);
  gw::validate_plan(plan);
  EXPECT_EQ(plan.offsets, (std::vector<int64_t>{0, 2, 4, 6, 6}));
  EXPECT_TRUE(plan.token.equal(at::tensor({0, 1, 1, 2, 0, 2}, at::kLong)));
  EXPECT_TRUE(plan.weight.equal(at::tensor({0.2, 0.3, 0.4, 0.5, 0.1, 0.6})));
  EXPECT_TRUE(gw::chosen_experts(plan).equal(at::tensor({0, 0, 1}, at::kLong)));
}

TEST(Plan, SkipsEmptySlotsAndHandlesNoTokens) {
  const auto plan = gw::make_plan(ids({-1, 1, -1}, 1), at::ones({3, 1}), 2);
  EXPECT_EQ(plan.offsets, (std::vector<int64_t>{0, 0, 1}));
  EXPECT_TRUE(gw::chosen_experts(plan).equal(at::tensor({-1, 1, -1}, at::kLong)));
  const auto none = gw::make_plan(at::empty({0, 2}, at::kLong), at::empty({0, 2}), 3);
  gw::validate_plan(none);
  EXPECT_EQ(none.rows(), 0);
  EXPECT_EQ(gw::load_entropy(none), 1.0);
}

TEST(Plan, RefusesBadIds) {
  EXPECT_THROW(gw::make_plan(ids({2}, 1), at::ones({1, 1}), 2), gw::ValueError);
  EXPECT_THROW(gw::make_plan(ids({-2}, 1), at::ones({1, 1}), 2), gw::ValueError);
  EXPECT_THROW(gw::make_plan(ids({1, 1}, 2), at::ones({1, 2}), 2), gw::ValueError);
  EXPECT_THROW(gw::make_plan(ids({1, 0}, 2), at::ones({2, 1}), 2), gw::ValueError);
  EXPECT_THROW(gw::make_plan(at::zeros({1, 1}), at::ones({1, 1}), 2), gw::ValueError);
  EXPECT_THROW(gw::constant_plan(4, 2, 2), gw::ValueError);
}

TEST(Plan, EntropyOfEvenAndCollapsedLoad) {
  EXPECT_DOUBLE_EQ(gw::load_entropy(gw::make_plan(ids({0, 1, 0, 1}, 1), at::ones({4, 1}), 2)), 1.0);
  EXPECT_DOUBLE_EQ(gw::load_entropy(gw::constant_plan(4, 2, 1)), 0.0);
}

TEST(Plan, GradientReachesTheWeights) {
  auto weight = at::rand({3, 2}).requires_grad_(true);
  const auto plan = gw::make_plan(ids({2, 0, 0, 1, 1, 2}, 2), weight, 3);
  const auto g = torch::autograd::grad({(plan.weight * at::arange(6).to(at::kFloat)).sum()}, {weight})[0];
  EXPECT_TRUE(g.equal(at::tensor({4.f, 0.f, 1.f, 2.f, 3.f, 5.f}).view({3, 2})));
}

}  // namespace gw::test::plan_cases
