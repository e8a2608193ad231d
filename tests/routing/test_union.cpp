// Experts that are added up, and experts that choose within each text.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "tests/routing/parts.h"
#include "tests/support/refusal.h"

namespace gw::test::union_cases {

TEST(UnionTopK, WeighsOneAndTeachesEveryScore) {
  const auto scores = scores_for(*policy("union_top_k"), 9, 3).detach().requires_grad_(true);
  const auto part = policy("union_top_k", {{"k", 2}});
  const auto plan = plan_of(*part, scores, true);
  ASSERT_EQ(plan.rows(), 18);
  EXPECT_TRUE(plan.weight.eq(1).all().item<bool>());
  const auto best = std::get<1>(scores.topk(2));
  EXPECT_TRUE(dense_weights(plan).gather(1, best).eq(1).all().item<bool>());
  // The gradient is that of E · p at the chosen experts.
  const auto to = at::arange(18, at::kDouble).cos();
  const auto ours = torch::autograd::grad({(plan.weight * to).sum()}, {scores})[0];
  const auto p = at::softmax(scores, 1) * static_cast<double>(scores.size(1));
  const auto chosen = p.reshape({-1}).index_select(0, plan.token * kExperts + expert_of_rows(plan));
  const auto theirs = torch::autograd::grad({(chosen * to).sum()}, {scores})[0];
  EXPECT_LE((ours - theirs).abs().max().item<double>(), 1e-12);
}

TEST(UnionTopK, AllOfThemAreTheSum) {
  const auto part = policy("union_top_k", {{"k", kExperts}});
  const auto plan = plan_of(*part, scores_for(*part, 7, 1), false);
  EXPECT_TRUE(dense_weights(plan).eq(1).all().item<bool>());
  EXPECT_THROW(policy("union_top_k", {{"k", kExperts + 1}}), ValueError);
}

RouterInputs texts(const std::vector<int64_t>& id) {
  RouterInputs inputs;
  inputs.sequence = at::tensor(id, at::kLong);
  return inputs;
}

TEST(ExpertChoice, WithinATextDoesNotDependOnTheOthers) {
  const Json options{{"capacity_factor", kExperts / 2.0}, {"room", "sequence"}};
  const auto part = policy("expert_choice", options);
  const auto scores = scores_for(*part, 11, 5);
  const std::vector<int64_t> ids{4, 4, 4, 4, 4, 4, 0, 0, 0, 2, 2};  // three texts of 6, 3 and 2 tokens
  const auto whole = part->plan_for(scores, texts(ids), false);
  validate_plan(whole);
  std::vector<RoutingPlan> apart;
  for (const auto& [first, count] : std::vector<std::pair<int64_t, int64_t>>{{0, 6}, {6, 3}, {9, 2}}) {
    apart.push_back(part->plan_for(scores.narrow(0, first, count),
                                   texts(std::vector<int64_t>(static_cast<size_t>(count), 0)), false));
    EXPECT_EQ(apart.back().rows(), kExperts * ((count + 1) / 2)) << "half of them, rounded up";
  }
  const auto merged = merge_plans(apart);
  EXPECT_EQ(whole.offsets, merged.offsets);
  EXPECT_TRUE(whole.token.equal(merged.token));
  EXPECT_TRUE(whole.weight.equal(merged.weight));
}

TEST(ExpertChoice, WeightOneIsOne) {
  const auto part = policy("expert_choice", {{"weight", "one"}, {"capacity_factor", double{kExperts}}});
  const auto plan = plan_of(*part, scores_for(*part, 6, 2), false);
  EXPECT_TRUE(dense_weights(plan).eq(1).all().item<bool>()) << "all tokens in all experts";
}

TEST(ExpertChoice, RefusesTextsInPiecesAndUnknownOnes) {
  const auto part = policy("expert_choice", {{"room", "sequence"}});
  const auto scores = scores_for(*part, 3, 2);
  expect_part(refusal<ValueError>([&] {
                part->plan_for(scores, texts({0, 1, 0}), false);
              }),
              "got sequence 0 again at token 2");
  expect_part(refusal<ValueError>([&] { part->plan_for(scores, {}, false); }), "\"sequence\" of each token");
  expect_part(refusal<ValueError>([] { policy("expert_choice", {{"room", "text"}}); }), "sequence");
}

}  // namespace gw::test::union_cases
