// Options that policies share, against their formulas.
#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/routing/select.h"
#include "tests/routing/parts.h"

namespace gw::test::policy_options_cases {

using gw::Json;

at::Tensor dense(const std::string& name, const Json& options, const at::Tensor& scores, bool train = false) {
  return gw::dense_weights(plan_of(*policy(name, options, scores.size(1)), scores, train));
}

double gap(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

TEST(SharedOptions, CapacityIsRoundedUpAndAtLeastOne) {
  auto scores = distinct_scores(10, 1);
  scores.select(1, 3).add_(20);
  const auto rows = [&](const Json& options) {
    return plan_of(*policy("softmax_top_k", options), scores, true).rows_of(3);
  };
  EXPECT_EQ(rows({{"capacity_factor", 1.0}}), 3);  // 10 / 4 = 2.5
  EXPECT_EQ(rows({{"capacity_factor", 1.2}}), 3);  // exactly 3: not 4 by rounding noise
  EXPECT_EQ(rows({{"capacity_factor", 1e-3}}), 1);
  EXPECT_EQ(rows({{"capacity_factor", 1.0}, {"capacity_multiple", 4}}), 4);
  EXPECT_EQ(rows({{"evaluation_capacity_factor", 1.0}}), 10);  // training has no limit here
  EXPECT_EQ(rows({{"k", 2}, {"capacity_factor", 1.0}}), 5);    // of T·K rows
  EXPECT_THROW(policy("softmax_top_k", {{"capacity_factor", -1.0}}), gw::ValueError);
  EXPECT_THROW(policy("softmax_top_k", {{"capacity", -1}}), gw::ValueError);
  EXPECT_THROW(policy("expert_choice", {{"capacity_factor", 0.0}}), gw::ValueError);
}

TEST(SharedOptions, OverflowToTheNextChoiceKeepsEveryTokenAndItsSum) {
  auto scores = distinct_scores(16, 1);
  scores.select(1, 3).add_(20);
  const auto plan = plan_of(
      *policy("softmax_top_k", {{"k", 1}, {"capacity", 4}, {"overflow", "next"}, {"renormalise", true}}),
      scores, false);
  for (int64_t e = 0; e < kExperts; ++e) EXPECT_EQ(plan.rows_of(e), 4);
  EXPECT_LT(gap(gw::dense_weights(plan).sum(1), at::ones({16}, at::kDouble)), 1e-12);
}

TEST(SharedOptions, PriorityDropsTheDullTokens) {
  auto scores = at::zeros({6, kExperts}, at::kDouble);
  for (int64_t t = 0; t < 6; ++t) scores[t][1] = static_cast<double>(t + 1);  // later tokens are surer
  const auto by_position = plan_of(*policy("softmax_top_k", {{"capacity", 2}}), scores, false);
  EXPECT_TRUE(by_position.token.equal(at::tensor({0, 1}, at::kLong)));
  const auto by_priority = plan_of(*policy("batch_priority", {{"k", 1}, {"capacity", 2}}), scores, false);
  EXPECT_TRUE(by_priority.token.equal(at::tensor({4, 5}, at::kLong)));
  // Position under capacity is not equivariant, by design; priority is.
  EXPECT_TRUE(policy("softmax_top_k", {{"capacity", 2}})->traits().order_dependent);
  const auto reversed = plan_of(*policy("softmax_top_k", {{"capacity", 2}}), scores.flip(0), false);
  EXPECT_FALSE(gw::chosen_experts(reversed).flip(0).equal(gw::chosen_experts(by_position)));
}

TEST(SharedOptions, PriorityComparesWeightsNotScores) {
  // Largest probabilities 0.525 and 0.982: the offset of a token's scores says nothing.
  const auto scores = at::tensor({10.0, 9.9, 1.0, -3.0}, at::kDouble).view({2, 2});
  for (const char* name : {"softmax_top_k", "top_k_softmax", "batch_priority"}) {
    const auto plan =
        plan_of(*policy(name, {{"k", 1}, {"capacity", 1}, {"drop_order", "priority"}}, 2), scores, false);
    EXPECT_TRUE(plan.token.equal(at::tensor({1}, at::kLong))) << name;
  }
  const Json options{{"capacity", 1}, {"drop_order", "priority"}};
  EXPECT_TRUE(
      plan_of(*policy("switch_top1", options, 2), scores, false).token.equal(at::tensor({1}, at::kLong)));
}

TEST(SharedOptions, WeightsOverTheChosenDoNotUnderflow) {
  const auto scores = at::tensor({200.0F, 0.0F, -1.0F}).view({1, 3});
  const auto expert = at::tensor({1, 2}, at::kLong).view({1, 2});
  for (const Json& options : {Json{{"k", 2}}, Json{{"k", 2}, {"renormalise", true}}}) {
    const auto* name = options.contains("renormalise") ? "softmax_top_k" : "top_k_softmax";
    const auto weight =
        gw::dense_weights(policy(name, options, 3)->plan_given(scores, expert, false, gw::Rng(0)));
    EXPECT_NEAR(weight[0][1].item<double>(), 0.7310586, 1e-6) << name;
    EXPECT_NEAR(weight[0][2].item<double>(), 0.2689414, 1e-6) << name;
  }
}

TEST(SharedOptions, HugeCapacityKeepsEveryRowAndNllbHonoursItsFactors) {
  const auto scores = at::zeros({8, kExperts}, at::kDouble);
  const Json huge{{"capacity", INT64_MAX}, {"capacity_multiple", 8}};
  EXPECT_EQ(plan_of(*policy("softmax_top_k", huge), scores, false).rows(), 8);
  const auto rows = [&](const Json& options) {
    return plan_of(*policy("nllb_top2", options), scores, true).rows_of(0);
  };
  EXPECT_EQ(rows({{"second", "all"}}), 4);  // 2·ceil(8 / 4)
  EXPECT_EQ(rows({{"second", "all"}, {"capacity_factor", 0.5}}), 2);
  EXPECT_EQ(rows({{"second", "all"}, {"capacity_factor", 0.5}, {"capacity_multiple", 3}}), 3);
}

TEST(SharedOptions, SparsemixerChoosesByTheSelectionBias) {
  const auto mixer = policy("sparsemixer", {{"selection_bias", true}}, 3);
  mixer->state().front().second.copy_(at::tensor({-1e6F, 0.0F, 1e6F}));
  const auto plan = plan_of(*mixer, at::tensor({3.0, 2.0, 1.0}, at::kDouble).view({1, 3}), false);
  EXPECT_EQ(plan.rows_of(0), 0);
  EXPECT_EQ(plan.rows_of(1), 1);
  EXPECT_EQ(plan.rows_of(2), 1);
}

TEST(SharedOptions, ScaleBiasMaskingAndNoise) {
  const auto scores = distinct_scores(50, 2);
  const Json plain{{"k", 2}};
  EXPECT_LT(gap(dense("softmax_top_k", {{"k", 2}, {"scale", 2.5}}, scores),
                dense("softmax_top_k", plain, scores) * 2.5),
            1e-12);
  EXPECT_LT(gap(dense("softmax_top_k", {{"k", 2}, {"expert_masking", 0.2}}, scores),
                dense("softmax_top_k", plain, scores) * 0.8),
            1e-12);
  const auto masked = plan_of(*policy("softmax_top_k", {{"k", 2}, {"expert_masking", 0.2}}), scores, true);
  const double zeros = masked.weight.eq(0).to(at::kDouble).mean().item<double>();
  EXPECT_NEAR(zeros, 0.2, 0.12);  // 100 rows: three standard deviations
  const auto kept = gw::dense_weights(masked).masked_select(gw::dense_weights(masked).gt(0));
  EXPECT_LE(kept.max().item<double>(), 1);  // unscaled
  const auto noisy = plan_of(*policy("softmax_top_k", {{"k", 2}, {"noise", 1.0}}), scores, true);
  const auto drawn = noisy.scores - scores;
  EXPECT_NEAR(drawn.std().item<double>(), 0.25, 0.05);
  EXPECT_TRUE(noisy.facts.logits.equal(scores));
  EXPECT_TRUE(
      plan_of(*policy("softmax_top_k", {{"k", 2}, {"noise", 1.0}}), scores, false).scores.equal(scores));
}

TEST(SoftmaxOverTheChosen, IsRefusedWithoutItsSum) {
  for (const auto* name : {"top_k_softmax", "noisy_top_k"}) {
    try {
      policy(name, {{"renormalise", false}});
      FAIL() << name << " took weights that are no softmax";
    } catch (const gw::ValueError& error) {
      EXPECT_NE(
          std::string(error.what()).find(std::string("policies/") + name + ": expected renormalise = true"),
          std::string::npos)
          << error.what();
    }
  }
}

TEST(SharedOptions, LocalGroupsHaveTheirOwnRoom) {
  // Ten tokens that all want expert 0, then expert 1: one group of room 5 keeps the first five; groups of 4,
  // 4 and 2 keep 2, 2 and 1.
  auto scores = at::zeros({10, kExperts}, at::kDouble);
  scores.select(1, 0).fill_(3), scores.select(1, 1).fill_(2);
  const auto kept = [&](int64_t groups, const char* overflow) {
    const auto part =
        policy("softmax_top_k",
               {{"k", 1}, {"capacity_factor", 2.0}, {"local_groups", groups}, {"overflow", overflow}});
    return gw::chosen_experts(part->plan(scores, true, gw::Rng(1)));
  };
  EXPECT_TRUE(kept(1, "drop").equal(at::tensor({0, 0, 0, 0, 0, -1, -1, -1, -1, -1}, at::kLong)));
  EXPECT_TRUE(kept(3, "drop").equal(at::tensor({0, 0, -1, -1, 0, 0, -1, -1, 0, -1}, at::kLong)));
  EXPECT_TRUE(kept(3, "next").equal(at::tensor({0, 0, 1, 1, 0, 0, 1, 1, 0, 1}, at::kLong)));
  EXPECT_TRUE(kept(1000, "drop").eq(0).all().item<bool>());  // a token by itself always finds room
  EXPECT_TRUE(policy("softmax_top_k", {{"capacity", 4}, {"local_groups", 2}, {"drop_order", "priority"}})
                  ->traits()
                  .order_dependent);
  // What a group decides is what it would decide alone.
  const auto router = policy("gshard_top2", {{"random_second", false}, {"local_groups", 4}}),
             alone = policy("gshard_top2", {{"random_second", false}});
  const auto mixed = distinct_scores(32, 5);
  std::vector<gw::RoutingPlan> parts;
  for (const auto& piece : mixed.split(8)) parts.push_back(alone->plan(piece, true, gw::Rng(1)));
  const auto whole = router->plan(mixed, true, gw::Rng(1)), merged = gw::merge_plans(parts);
  EXPECT_TRUE(whole.token.equal(merged.token) && whole.weight.equal(merged.weight));
}

TEST(SharedOptions, SequencesHaveTheirOwnRoom) {
  auto scores = at::zeros({9, kExperts}, at::kDouble);
  scores.select(1, 0).fill_(3);
  gw::RouterInputs inputs;
  inputs.sequence = at::tensor({0, 0, 0, 0, 1, 2, 2, 2, 2}, at::kLong);
  const auto part = policy("softmax_top_k", {{"k", 1}, {"capacity", 2}, {"room", "sequence"}});
  const auto kept = [&] { return gw::chosen_experts(part->plan_for(scores, inputs, false)); };
  EXPECT_TRUE(kept().equal(at::tensor({0, 0, -1, -1, 0, 0, 0, -1, -1}, at::kLong)));
  inputs.sequence = at::Tensor();  // not known: all are one
  EXPECT_TRUE(kept().equal(at::tensor({0, 0, -1, -1, -1, -1, -1, -1, -1}, at::kLong)));
  inputs.sequence = at::zeros({8}, at::kLong);
  expect_refusal([&] { kept(); }, "sequence");
  expect_refusal(
      [] {
        policy("softmax_top_k", {{"room", "sequence"}, {"local_groups", 2}});
      },
      "local_groups = 1");
  EXPECT_TRUE(part->traits().order_dependent);
}

}  // namespace gw::test::policy_options_cases
