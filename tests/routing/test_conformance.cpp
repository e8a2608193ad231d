// Every registered gate, policy and balancer must pass: a new part is born tested.
#include <gtest/gtest.h>

#include <cmath>

#include "base/registry.h"
#include "ops/random.h"
#include "routing/balancer.h"
#include "routing/gate.h"
#include "routing/load.h"
#include "routing/policy.h"
#include "support/gradcheck.h"

namespace {

constexpr int64_t kExperts = 4;

std::vector<std::string> names(const char* kind) {
  std::vector<std::string> out;
  for (const auto& part : gw::Registry::instance().list(kind)) out.push_back(part.name);
  return out;
}

at::Tensor distinct_scores(int64_t tokens, uint64_t seed) { return gw::ops::normal(gw::Rng(seed), {tokens, kExperts}, 0, 2).to(at::kDouble); }

std::shared_ptr<gw::Policy> policy(const std::string& name) { return gw::make_part<gw::Policy>(name, gw::Json::object(), {kExperts}); }

class PolicyConformance : public testing::TestWithParam<std::string> {};
class GateConformance : public testing::TestWithParam<std::string> {};
class BalancerConformance : public testing::TestWithParam<std::string> {};

TEST_P(PolicyConformance, PlansAreValidFiniteAndRepeatable) {
  for (const int64_t tokens : {0, 1, 7, 64}) {
    const auto scores = distinct_scores(tokens, 1);
    const auto a = policy(GetParam())->plan(scores, true, gw::Rng(3)), b = policy(GetParam())->plan(scores, true, gw::Rng(3));
    gw::validate_plan(a);
    EXPECT_TRUE(a.weight.isfinite().all().item<bool>());
    EXPECT_TRUE(a.token.equal(b.token) && a.weight.equal(b.weight) && a.offsets == b.offsets);
    EXPECT_EQ(a.tokens, tokens);
    EXPECT_TRUE(a.scores.defined());
  }
}

TEST_P(PolicyConformance, PermutedTokensPermuteThePlan) {
  const auto scores = distinct_scores(33, 2);
  const auto order = at::randperm(33, at::kLong);
  const auto a = gw::chosen_experts(policy(GetParam())->plan(scores, false, gw::Rng(3)));
  const auto b = gw::chosen_experts(policy(GetParam())->plan(scores.index_select(0, order), false, gw::Rng(3)));
  EXPECT_TRUE(a.index_select(0, order).equal(b));
}

TEST_P(PolicyConformance, ASplitBatchDecidesAlike) {
  const auto scores = distinct_scores(20, 4);
  const auto whole = gw::chosen_experts(policy(GetParam())->plan(scores, false, gw::Rng(3)));
  const auto first = gw::chosen_experts(policy(GetParam())->plan(scores.narrow(0, 0, 7), false, gw::Rng(3)));
  const auto second = gw::chosen_experts(policy(GetParam())->plan(scores.narrow(0, 7, 13), false, gw::Rng(3)));
  EXPECT_TRUE(whole.equal(at::cat({first, second})));
}

TEST_P(PolicyConformance, TiesGoToTheLowestIndex) {
  const auto plan = policy(GetParam())->plan(at::zeros({5, kExperts}), false, gw::Rng(3));
  EXPECT_EQ(gw::chosen_experts(plan).sum().item<int64_t>(), 0);
}

TEST_P(PolicyConformance, RefusesWhatIsNotFinite) {
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    auto scores = distinct_scores(3, 5);
    scores[1][2] = bad;
    EXPECT_THROW(policy(GetParam())->plan(scores, false, gw::Rng(3)), gw::ValueError) << bad;
  }
  EXPECT_THROW(policy(GetParam())->plan(at::zeros({3, kExperts + 1}), false, gw::Rng(3)), gw::ValueError);
}

TEST_P(PolicyConformance, UnknownOptionsAreRefused) {
  EXPECT_THROW(gw::make_part<gw::Policy>(GetParam(), {{"no_such_option", 1}}, {kExperts}), gw::ValueError);
}

TEST_P(PolicyConformance, GradientReachesTheScores) {
  auto scores = distinct_scores(16, 6).requires_grad_(true);
  const auto plan = policy(GetParam())->plan(scores, true, gw::Rng(3));
  const auto factor = gw::ops::normal(gw::Rng(9), {plan.rows()}, 0, 1).to(at::kDouble);
  const auto g = torch::autograd::grad({(plan.weight * factor).sum()}, {scores})[0];
  EXPECT_GT(g.norm().item<double>(), 1e-3);
}

TEST_P(GateConformance, ScoresAreFiniteRepeatableAndIndependentOfTheSplit) {
  gw::Gate::Context context{3, kExperts, 11};
  const auto gate = gw::make_part<gw::Gate>(GetParam(), gw::Json::object(), context);
  const auto twin = gw::make_part<gw::Gate>(GetParam(), gw::Json::object(), context);
  gate->eval(), twin->eval();
  const auto x = gate->takes_images() ? gw::ops::uniform(gw::Rng(1), {6, 3, 16, 16}, 0, 1) : gw::ops::uniform(gw::Rng(1), {6, 3}, 0, 1);
  const at::NoGradGuard no_grad;
  const auto scores = gate->forward(x);
  EXPECT_EQ(scores.sizes(), (std::vector<int64_t>{6, kExperts}));
  EXPECT_TRUE(scores.isfinite().all().item<bool>());
  EXPECT_TRUE(scores.equal(twin->forward(x)));
  const auto split = at::cat({gate->forward(x.narrow(0, 0, 2)), gate->forward(x.narrow(0, 2, 4))});
  EXPECT_LT((scores - split).abs().max().item<double>(), 1e-5);
}

TEST_P(GateConformance, TheLossReachesEveryParameter) {
  const auto gate = gw::make_part<gw::Gate>(GetParam(), gw::Json::object(), gw::Gate::Context{3, kExperts, 11});
  gate->train();
  const auto x = gate->takes_images() ? gw::ops::uniform(gw::Rng(1), {6, 3, 16, 16}, 0, 1) : gw::ops::normal(gw::Rng(1), {6, 3}, 0, 1);
  const auto factor = gw::ops::normal(gw::Rng(2), {6, kExperts}, 0, 1);
  const auto gradients = torch::autograd::grad({(gate->forward(x) * factor).sum()}, gate->parameters());
  for (const auto& g : gradients) EXPECT_GT(g.norm().item<double>(), 0);
}

TEST_P(GateConformance, RefusesOtherShapes) {
  const auto gate = gw::make_part<gw::Gate>(GetParam(), gw::Json::object(), gw::Gate::Context{3, kExperts, 11});
  EXPECT_THROW(gate->forward(at::zeros({2, 5})), gw::ValueError);
  EXPECT_THROW(gate->forward(at::zeros({2, 5, 8, 8})), gw::ValueError);
}

gw::RoutingPlan plan_of(const at::Tensor& scores) {
  auto plan = gw::make_plan(scores.detach().argmax(1, true), at::ones({scores.size(0), 1}).to(scores.scalar_type()), kExperts);
  plan.scores = scores;
  return plan;
}

TEST_P(BalancerConformance, MeetsItsStatedValuesAtBalanceAndCollapse) {
  const auto balancer = gw::make_part<gw::Balancer>(GetParam(), gw::Json::object(), {kExperts});
  const double c = balancer->coefficient();
  ASSERT_GT(c, 0);
  auto even = at::zeros({8, kExperts}, at::kDouble);
  auto plan = gw::make_plan(at::arange(8).remainder(kExperts).view({8, 1}), at::ones({8, 1}), kExperts);
  plan.scores = even;
  EXPECT_NEAR(balancer->loss(plan).item<double>() / c, balancer->at_balance(kExperts, 1), 1e-9);
  if (GetParam() == "z_loss") return;  // says nothing of balance: both stated values are those of zero scores
  auto collapsed = at::zeros({8, kExperts}, at::kDouble);
  collapsed.select(1, 2).fill_(60);
  EXPECT_NEAR(balancer->loss(plan_of(collapsed)).item<double>() / c, balancer->at_collapse(kExperts), 1e-9);
}

TEST_P(BalancerConformance, GradientIsRightAndReachesTheRouter) {
  const auto balancer = gw::make_part<gw::Balancer>(GetParam(), gw::Json::object(), {kExperts});
  auto scores = distinct_scores(6, 8).requires_grad_(true);
  const auto g = torch::autograd::grad({balancer->loss(plan_of(scores))}, {scores})[0];
  EXPECT_GT(g.norm().item<double>(), 0);
  for (int64_t i = 0; i < 6; ++i) {  // the choice is a constant: shift one score by less than the gap to the runner-up
    for (int64_t e = 0; e < kExperts; ++e) {
      const double h = 1e-6;
      auto up = scores.detach().clone(), down = scores.detach().clone();
      up[i][e] += h, down[i][e] -= h;
      const double numeric = (balancer->loss(plan_of(up)) - balancer->loss(plan_of(down))).item<double>() / (2 * h);
      EXPECT_NEAR(g[i][e].item<double>(), numeric, 1e-7);
    }
  }
}

TEST_P(BalancerConformance, NoTokensCostNothing) {
  const auto balancer = gw::make_part<gw::Balancer>(GetParam(), gw::Json::object(), {kExperts});
  EXPECT_EQ(balancer->loss(plan_of(at::zeros({0, kExperts}))).item<double>(), 0);
}

const auto kName = [](const auto& info) { return info.param; };
INSTANTIATE_TEST_SUITE_P(All, PolicyConformance, testing::ValuesIn(names("policies")), kName);
INSTANTIATE_TEST_SUITE_P(All, GateConformance, testing::ValuesIn(names("gates")), kName);
INSTANTIATE_TEST_SUITE_P(All, BalancerConformance, testing::ValuesIn(names("balancers")), kName);

TEST(SoftmaxTopK, MatchesItsFormulaAndRefusesTooManyExperts) {
  const auto scores = distinct_scores(9, 12);
  const auto p = at::softmax(scores, 1);
  const auto plan = gw::make_part<gw::Policy>("softmax_top_k", {{"k", 2}, {"renormalise", true}}, {kExperts})->plan(scores, false, gw::Rng(1));
  auto dense = at::zeros({9, kExperts}, at::kDouble);
  for (int64_t e = 0; e < kExperts; ++e) {
    for (int64_t r = plan.offsets[static_cast<size_t>(e)]; r < plan.offsets[static_cast<size_t>(e) + 1]; ++r) {
      dense[plan.token[r].item<int64_t>()][e] = plan.weight[r];
    }
  }
  const auto kept = p * p.ge(std::get<0>(p.topk(2, 1)).narrow(1, 1, 1)).to(at::kDouble);
  EXPECT_LT((dense - kept / kept.sum(1, true)).abs().max().item<double>(), 1e-12);
  EXPECT_THROW(gw::make_part<gw::Policy>("softmax_top_k", {{"k", 5}}, {kExperts}), gw::ValueError);
}

TEST(Top1StraightThrough, WeightIsOneAndOnlyTheWinnerHearsOfTheLoss) {
  auto scores = distinct_scores(5, 13).requires_grad_(true);
  const auto plan = policy("top1_straight_through")->plan(scores, true, gw::Rng(1));
  EXPECT_TRUE(plan.weight.detach().eq(1).all().item<bool>());
  const auto g = torch::autograd::grad({plan.weight.sum()}, {scores})[0];
  EXPECT_EQ(g.count_nonzero().item<int64_t>(), 5);
  EXPECT_TRUE(g.argmax(1).equal(scores.argmax(1)));
}

}  // namespace
