// Every registered balancer: its stated values, its gradient, its indifference to how a batch was cut.
#include <gtest/gtest.h>

#include "tests/routing/parts.h"
#include "tests/support/gradcheck.h"

namespace gw::test::balancers_cases {

class BalancerConformance : public testing::TestWithParam<std::string> {};

std::shared_ptr<gw::Balancer> balancer(const std::string& name,
                                       const gw::Json& options = gw::Json::object()) {
  return gw::make_part<gw::Balancer>(name, options, {kExperts});
}

// Uniform scores, rows dealt in turn: the same number of rows per expert, and per expert and sequence of
// four.
gw::RoutingPlan even_plan(const at::Tensor& scores, int64_t k = 1) {
  const auto t = at::arange(scores.size(0), at::kLong).unsqueeze(1);
  auto plan = gw::make_plan((t * k + at::arange(k, at::kLong)).remainder(kExperts),
                            at::full({scores.size(0), k}, 1.0, scores.options()), kExperts);
  plan.scores = scores;
  plan.facts.first_choice = t.squeeze(1).remainder(kExperts);
  plan.facts.sequence = at::div(t.squeeze(1), 4, "floor");
  plan.facts.task = at::zeros({scores.size(0)}, at::kLong);
  return plan;
}

void expect_finite(const std::string& name, const std::string& chosen_by, const at::Tensor& table) {
  const auto scores = table.clone().requires_grad_(true);
  auto plan = plan_of(*policy(chosen_by, gw::Json::object(), 2), scores, true);
  const auto loss = balancer(name)->loss(plan);
  EXPECT_TRUE(at::isfinite(loss).all().item<bool>()) << name << " over " << chosen_by;
  loss.sum().backward();
  EXPECT_TRUE(!scores.grad().defined() || at::isfinite(scores.grad()).all().item<bool>())
      << name << " over " << chosen_by;
}

TEST(Balancers, StayFiniteWhereNobodyIsChosenAndWhereLearnedNoiseVanishes) {
  expect_finite("importance", "relu", at::tensor({-1.0F, -2.0F}).view({1, 2}));
  for (const float raw : {-10.0F, -60.0F, -200.0F}) {
    expect_finite("load_cv", "noisy_top_k", at::tensor({1.0F, 0.0F, raw, raw}).view({1, 4}));
    expect_finite("load_cv", "noisy_top_k", at::tensor({1.0F, 1.0F, raw, raw}).view({1, 4}));
  }
}

// One token over as many experts as there may be: the floor under the mean must not act.
TEST(Balancers, ImportanceIsRightAtTheSmallestMean) {
  const int64_t experts = 1 << 20;
  auto scores = at::zeros({1, experts});
  scores[0][7] = 100;
  scores.requires_grad_(true);
  const auto part = gw::make_part<gw::Balancer>("importance", gw::Json{{"coefficient", 1.0}}, {experts});
  const auto loss = part->loss(best_plan(scores));
  EXPECT_NEAR(loss.item<double>() / static_cast<double>(experts - 1), 1, 1e-4);
  loss.backward();
  EXPECT_TRUE(at::isfinite(scores.grad()).all().item<bool>());
}

TEST_P(BalancerConformance, MeetsItsStatedValuesAtBalanceAndCollapse) {
  const auto part = balancer(GetParam());
  const double c = part->coefficient();
  ASSERT_GT(c, 0);
  for (const int64_t k : {1, 2}) {
    EXPECT_NEAR(part->loss(even_plan(at::zeros({8, kExperts}, at::kDouble), k)).item<double>() / c,
                part->at_balance(kExperts, k), 1e-9)
        << k;
  }
  if (has_trait("balancers", GetParam(), "about the size of scores")) {
    EXPECT_EQ(part->at_balance(kExperts, 1), part->at_collapse(kExperts));
    return;
  }
  auto collapsed = at::zeros({8, kExperts}, at::kDouble);
  collapsed.select(1, 2).fill_(60);
  EXPECT_NEAR(part->loss(best_plan(collapsed)).item<double>() / c, part->at_collapse(kExperts), 1e-9);
}

TEST_P(BalancerConformance, GradientIsRightAndReachesTheRouter) {
  const auto part = balancer(GetParam());
  const double c = part->coefficient();
  const auto scores = distinct_scores(8, 8);
  if (!part->loss(best_plan(scores.clone().requires_grad_(true))).requires_grad()) {
    EXPECT_TRUE(part->controls()) << "a balancer without a gradient must be a controller";
    EXPECT_EQ(part->loss(best_plan(scores)).item<double>(), 0);
    return;
  }
  // The choice is a constant: no score is shifted by more than its gap to the runner-up.
  const auto loss = [&](const std::vector<at::Tensor>& x) {
    return std::vector{part->loss(best_plan(x[0])) / c};
  };
  EXPECT_LT(gradient_error(loss, {scores}, 1e-6), 1e-6);
  auto leaf = scores.clone().requires_grad_(true);
  EXPECT_GT((torch::autograd::grad({part->loss(best_plan(leaf)) / c}, {leaf})[0]).norm().item<double>(),
            1e-4);
}

TEST_P(BalancerConformance, IsTheSameForAnyCutOfTheBatch) {
  const auto part = balancer(GetParam());
  auto scores = distinct_scores(24, 9).requires_grad_(true);
  const auto whole = part->loss(even_plan(scores));
  std::vector<gw::RoutingPlan> parts;
  int64_t begin = 0;
  for (const int64_t size : {8, 4, 12}) {  // whole sequences: a micro-batch does not cut one
    parts.push_back(even_plan(scores.narrow(0, begin, size)));
    begin += size;
  }
  const auto merged = part->loss(gw::merge_plans(parts));
  EXPECT_NEAR(whole.item<double>(), merged.item<double>(),
              1e-12 * std::max(1.0, std::abs(whole.item<double>())));
  if (!whole.requires_grad()) return;
  const auto a = torch::autograd::grad({whole}, {scores})[0],
             b = torch::autograd::grad({merged}, {scores})[0];
  EXPECT_LT((a - b).abs().max().item<double>(), 1e-12);
}

TEST_P(BalancerConformance, NoTokensCostNothing) {
  const auto part = balancer(GetParam());
  auto scores = at::zeros({0, kExperts}).requires_grad_(true);
  auto plan = best_plan(scores);
  EXPECT_EQ(part->loss(plan).item<double>(), 0);
}

TEST_P(BalancerConformance, TakesThePlansOfEveryPolicy) {
  const auto part = balancer(GetParam());
  for (const auto& name : names("policies")) {
    const auto router = policy(name);
    auto plan = plan_of(*router, scores_for(*router, 16, 3).requires_grad_(true), true);
    plan.facts.sequence = inputs_for(16).sequence;
    plan.facts.task = inputs_for(16).task;
    if (plan.soft()) {  // slots: a loss over tokens' rows says that it is none of its business
      try {
        EXPECT_TRUE(part->loss(plan).isfinite().item<bool>()) << name;
      } catch (const gw::ValueError& error) {
        EXPECT_NE(std::string(error.what()).find("soft"), std::string::npos) << error.what();
      }
      continue;
    }
    EXPECT_TRUE(part->loss(plan).isfinite().item<bool>()) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, BalancerConformance, testing::ValuesIn(names("balancers")), kPartName);

TEST(SwitchLoss, CountsSingleTokensOnlyWhenAsked) {
  // Tokens 0 and 1 go to expert 0 alone; token 2 to experts 0 and 1: only the single ones make the share (1,
  // 0, 0, 0).
  const auto ids = at::tensor({0, -1, 0, -1, 0, 1}, at::kLong).view({3, 2});
  auto plan = gw::make_plan(ids, at::ones({3, 2}, at::kDouble), kExperts);
  plan.scores = distinct_scores(3, 4);
  const auto p = at::softmax(plan.scores, 1).mean(0);
  const auto single =
      balancer("switch_loss", {{"coefficient", 1.0}, {"count", "single"}})->loss(plan).item<double>();
  EXPECT_NEAR(single, 4 * p[0].item<double>(), 1e-12);
  const auto rows = balancer("switch_loss", {{"coefficient", 1.0}})->loss(plan).item<double>();
  EXPECT_NEAR(rows, 4 * (p[0] + p[1] / 3).item<double>(), 1e-12);
}

TEST(MutualInformation, IsZeroLossWhenEvenAndSure) {
  const auto sure = at::eye(kExperts, at::kDouble).repeat({2, 1}) * 60;
  for (const auto* by : {"token", "task"}) {
    auto plan = best_plan(sure);
    plan.facts.task = at::arange(8).remainder(kExperts);  // each task its own expert
    EXPECT_NEAR(balancer("mutual_information", {{"by", by}, {"coefficient", 1.0}})->loss(plan).item<double>(),
                0, 1e-9)
        << by;
  }
  EXPECT_NEAR(balancer("diversity", {{"coefficient", 1.0}})->loss(best_plan(sure)).item<double>(), 0, 1e-8);
  auto missing = best_plan(sure);
  EXPECT_THROW(balancer("mutual_information", {{"by", "task"}})->loss(missing), gw::ValueError);
}

TEST(SequenceWise, SeesWhatTheBatchHides) {
  // Two sequences, each collapsed on an expert of its own: even over the batch of two experts, collapsed in
  // each sequence.
  auto scores = at::zeros({8, kExperts}, at::kDouble);
  for (int64_t t = 0; t < 8; ++t) scores[t][t / 4] = 60;
  auto plan = best_plan(scores);
  plan.facts.sequence = at::div(at::arange(8), 4, "floor");
  EXPECT_NEAR(balancer("sequence_wise", {{"coefficient", 1.0}})->loss(plan).item<double>(), 4, 1e-9);
  EXPECT_NEAR(balancer("switch_loss", {{"coefficient", 1.0}})->loss(plan).item<double>(), 2, 1e-9);
  // The same by tasks, and a task that is twice as long counts once.
  auto tasks = best_plan(scores);
  const auto by_task = balancer("sequence_wise", {{"by", "task"}, {"coefficient", 1.0}});
  EXPECT_THROW(by_task->loss(tasks), gw::ValueError);
  tasks.facts.task = at::div(at::arange(8), 4, "floor") * 5;
  EXPECT_NEAR(by_task->loss(tasks).item<double>(), 4, 1e-9);
}

TEST(Device, CountsWorkAndTraffic) {
  // Tokens 0, 1 → experts 0, 1 (group 0); tokens 2, 3 → experts 0 and 2 (both groups).
  const auto ids = at::tensor({0, -1, 1, -1, 0, 2, 0, 2}, at::kLong).view({4, 2});
  auto plan = gw::make_plan(ids, at::ones({4, 2}, at::kDouble), kExperts);
  plan.scores = distinct_scores(4, 4);
  const auto p = at::softmax(plan.scores, 1).mean(0);
  const double p0 = (p[0] + p[1]).item<double>(), p1 = (p[2] + p[3]).item<double>();
  EXPECT_NEAR(balancer("device", {{"coefficient", 1.0}})->loss(plan).item<double>(),
              2 * (4.0 / 6 * p0 + 2.0 / 6 * p1), 1e-12);
  const auto traffic =
      balancer("device", {{"coefficient", 1.0}, {"kind", "communication"}})->loss(plan).item<double>();
  EXPECT_NEAR(traffic, 2 * (4.0 / 6 * p0 + 2.0 / 6 * p1), 1e-12);
  EXPECT_THROW(balancer("device", {{"groups", 3}}), gw::ValueError);
}

TEST(LoadCv, MatchesTheProbabilityOfBeingChosenUnderFreshNoise) {
  const auto router = policy("noisy_top_k", {{"k", 2}});
  const auto scores = scores_for(*router, 1, 21);
  const auto plan = router->plan(scores, true, gw::Rng(5));
  // Redraw the noise of one expert at a time, the others' noise as it was: the share of draws in which it is
  // among the two best.
  const auto clean = plan.facts.logits, deviation = plan.facts.noise_std;
  std::vector<double> chance;
  const auto draws = gw::ops::normal(gw::Rng(77), {20000}, 0, 1).to(at::kDouble);
  for (int64_t e = 0; e < kExperts; ++e) {
    const auto others =
        at::cat({plan.scores[0].narrow(0, 0, e), plan.scores[0].narrow(0, e + 1, kExperts - e - 1)});
    const double second = std::get<0>(others.topk(2))[1].item<double>();
    chance.push_back(
        (clean[0][e] + draws * deviation[0][e]).gt(second).to(at::kDouble).mean().item<double>());
  }
  const auto load = at::tensor(chance, at::kDouble);
  const double expected = ((load - load.mean()).square().mean() / load.mean().square()).item<double>();
  EXPECT_NEAR(balancer("load_cv", {{"coefficient", 1.0}})->loss(plan).item<double>(), expected, 0.02);
}

TEST(BiasUpdate, BringsACollapsedRouterBackWithoutALoss) {
  const auto router = policy("deepseek_v3", {{"k", 1}});
  const auto controller = balancer("bias_update", {{"rate", 0.02}});
  auto scores = distinct_scores(256, 5);
  scores.select(1, 0).add_(4);
  ASSERT_LT(gw::load_entropy(router->plan(scores, true, gw::Rng(1))), 0.5);
  for (int step = 0; step < 200; ++step) controller->update(router->plan(scores, true, gw::Rng(1)), *router);
  const auto plan = router->plan(scores, true, gw::Rng(1));
  EXPECT_GT(gw::load_entropy(plan), 0.99);
  // The bias chooses, and enters no weight.
  EXPECT_LT((plan.weight - 1).abs().max().item<double>(), 1e-12);
  const auto raw = policy("deepseek_v3", {{"k", 1}, {"renormalise", false}});
  raw->state()[0].second.copy_(router->state()[0].second);
  const auto unnormalised = raw->plan(scores, true, gw::Rng(1));
  const auto chosen = gw::expert_of_rows(unnormalised);
  const auto expected = at::sigmoid(scores).index({unnormalised.token, chosen});
  EXPECT_TRUE(unnormalised.weight.equal(expected));
  EXPECT_THROW(controller->update(plan, *policy("softmax_top_k")), gw::ValueError);
}

TEST(ReluL1, HoldsTheNumberOfExpertsPerToken) {
  const auto router = policy("relu");
  const auto controller = balancer("relu_l1", {{"k", 1}, {"start", 1e-3}});
  auto scores = (distinct_scores(128, 6) + 1).requires_grad_(true);
  double rows = 0;
  int64_t seen = 0;
  for (int step = 0; step < 400;
       ++step) {  // gradient descent on the scores themselves, against a task that wants them at 1
    const auto plan = router->plan(scores, true, gw::Rng(1));
    const auto loss = controller->loss(plan) * 128 + 0.01 * (scores - 1).square().sum();
    const auto g = torch::autograd::grad({loss}, {scores})[0];
    const at::NoGradGuard no_grad;
    scores.add_(g, -0.5);
    controller->update(plan, *router);
    if (step >= 300) rows += static_cast<double>(plan.rows()) / 128, ++seen;
  }
  EXPECT_NEAR(rows / static_cast<double>(seen), 1, 0.3);
}

}  // namespace gw::test::balancers_cases
