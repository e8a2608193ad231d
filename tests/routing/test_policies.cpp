// Policies against their formulas, and against bad input.
#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/routing/select.h"
#include "tests/routing/parts.h"

namespace gw::test::policies_cases {

using gw::Json;

at::Tensor dense(const std::string& name, const Json& options, const at::Tensor& scores, bool train = false) {
  return gw::dense_weights(plan_of(*policy(name, options, scores.size(1)), scores, train));
}

double gap(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

TEST(TopK, TiesGoToTheLowestIndexForShortAndLongLists) {
  const auto scores = at::tensor({1.0, 3.0, 3.0, 2.0, 3.0}).view({1, 5});
  EXPECT_TRUE(gw::top_k(scores, 3).equal(at::tensor({1, 2, 4}, at::kLong).view({1, 3})));
  EXPECT_TRUE(gw::top_k(scores, 5).equal(at::tensor({1, 2, 4, 3, 0}, at::kLong).view({1, 5})));
  auto many = gw::ops::uniform(gw::Rng(1), {20, 64}, 0, 8)
                  .floor();  // full of ties, and K on both sides of the two algorithms
  for (const int64_t k : {1, 2, 16, 17, 40, 64}) {
    const auto sorted = std::get<1>(many.sort(/*stable=*/true, 1, /*descending=*/true)).narrow(1, 0, k);
    EXPECT_TRUE(gw::top_k(many, k).equal(sorted)) << k;
    EXPECT_TRUE(gw::top_k(many.to(at::kDouble), k).equal(sorted)) << k;
  }
  EXPECT_EQ(gw::top_k(at::full({2, 3}, gw::kMaskedScore), 2).max().item<int64_t>(), -1);
}

TEST(LimitRows, FirstChoicesComeBeforeSecondOnes) {
  // Tokens 0, 1 want (0, 1); token 2 wants (1, 0). Room for two: token 2's first choice beats the others'
  // second ones.
  const auto wanted = at::tensor({0, 1, 0, 1, 1, 0}, at::kLong).view({3, 2});
  const auto kept = gw::limit_rows(wanted, 2, 2, {}, {});
  EXPECT_TRUE(kept.equal(at::tensor({0, 1, 0, -1, 1, -1}, at::kLong).view({3, 2})));
  const auto last_first = gw::limit_rows(wanted, 2, 1, at::tensor({2, 1, 0}, at::kLong), {});
  EXPECT_TRUE(last_first.equal(at::tensor({-1, -1, 0, -1, 1, -1}, at::kLong).view({3, 2})));
  const auto ranking = at::tensor({9.0, 1.0, 5.0, 9.0, 1.0, 5.0, 9.0, 1.0, 5.0}).view({3, 3});
  const auto moved = gw::limit_rows(at::zeros({3, 1}, at::kLong), 3, 1, {}, ranking);
  EXPECT_TRUE(moved.equal(at::tensor({0, 2, 1}, at::kLong).view({3, 1})));
}

TEST(NoisyTopK, NoiseHasTheLearnedSizeAndIsOffInEvaluation) {
  const auto part = policy("noisy_top_k", {{"k", 1}});
  auto scores = at::zeros({20000, 8}, at::kDouble);
  scores.narrow(1, 4, 4).copy_(at::tensor({-2.0, 0.0, 1.0, 3.0}).expand({20000, 4}));
  const auto plan = part->plan(scores, true, gw::Rng(1));
  const auto expected = at::softplus(at::tensor({-2.0, 0.0, 1.0, 3.0}, at::kDouble));
  EXPECT_LT(((plan.scores.std(0) - expected) / expected).abs().max().item<double>(), 0.03);
  EXPECT_EQ(part->plan(scores, false, gw::Rng(1)).scores.abs().max().item<double>(), 0);
}

TEST(GshardTop2, KeepsTheSecondExpertInProportionToItsWeight) {
  // Scores that give g2 = 0.2 to everybody: the second is kept with probability 0.4.
  auto scores = at::full({4000, kExperts}, -30.0, at::kDouble);
  scores.select(1, 0).fill_(std::log(0.8));
  scores.select(1, 1).fill_(std::log(0.2));
  const Json unlimited{{"capacity_factor", 0.0}, {"evaluation_capacity_factor", 0.0}};
  const auto part = policy("gshard_top2", unlimited);
  const auto plan = part->plan(scores, true, gw::Rng(1));
  EXPECT_EQ(plan.rows_of(0), 4000);
  EXPECT_NEAR(static_cast<double>(plan.rows_of(1)) / 4000, 0.4, 0.03);
  EXPECT_LT((plan.weight.narrow(0, 0, 4000) - 0.8).abs().max().item<double>(),
            1e-9);  // whether the second stayed or not
  EXPECT_EQ(part->plan(scores, false, gw::Rng(1)).rows_of(1), 4000);
}

TEST(NllbTop2, WeightsAreNormalisedAfterDrops) {
  auto scores = distinct_scores(8, 3);
  scores.select(1, 0).add_(9);  // all first choices collide; room for 2 in evaluation (fraction 0.25)
  const auto plan = plan_of(*policy("nllb_top2"), scores, false);
  EXPECT_EQ(plan.rows_of(0), 2);
  const auto weight = gw::dense_weights(plan);
  for (int64_t t = 2; t < 8;
       ++t) {  // dropped at their first choice: the second carries weight one, if it found room
    const double sum = weight[t].sum().item<double>();
    EXPECT_TRUE(sum == 0 || std::abs(sum - 1) < 1e-12);
    EXPECT_EQ(weight[t][0].item<double>(), 0);
  }
  EXPECT_EQ(plan_of(*policy("nllb_top2"), scores, true).rows_of(0), 4);  // training: 2·ceil(8/4)
}

TEST(ExpertChoice, ExpertsTakeTheirBestTokens) {
  const auto scores = distinct_scores(10, 4);
  const auto plan = plan_of(*policy("expert_choice", {{"capacity_factor", 1.0}}), scores, true);
  const auto p = at::softmax(scores, 1);
  for (int64_t e = 0; e < kExperts; ++e) {
    ASSERT_EQ(plan.rows_of(e), 3);
    const auto mine = plan.token.narrow(0, plan.offsets[static_cast<size_t>(e)], 3);
    EXPECT_TRUE(mine.equal(std::get<0>(std::get<1>(p.select(1, e).topk(3)).sort())));
    EXPECT_LT(gap(plan.weight.narrow(0, plan.offsets[static_cast<size_t>(e)], 3),
                  p.select(1, e).index_select(0, mine)),
              1e-15);
  }
  EXPECT_EQ(plan_of(*policy("expert_choice"), distinct_scores(1, 4), true).rows(),
            kExperts);  // T < E: each takes the one
}

TEST(TopP, TakesTheSmallestSetThatHoldsTheShare) {
  const auto scores = at::tensor({0.5, 0.3, 0.15, 0.05}, at::kDouble).log().view({1, 4});
  const auto rows = [&](double p) { return plan_of(*policy("top_p", {{"p", p}}), scores, false).rows(); };
  EXPECT_EQ(rows(0.0), 1);
  EXPECT_EQ(rows(0.49), 1);
  EXPECT_EQ(rows(0.5), 1);
  EXPECT_EQ(rows(0.51), 2);
  EXPECT_EQ(rows(0.9), 3);
  EXPECT_EQ(rows(1.0), 4);
  EXPECT_EQ(plan_of(*policy("top_p", {{"p", 1.0}, {"most", 2}}), scores, false).rows(), 2);
}

TEST(Adaptive, TakesASecondExpertOnlyWhereTheGapIsSmall) {
  const auto p = at::tensor({0.6, 0.3, 0.05, 0.05, 0.4, 0.35, 0.2, 0.05}, at::kDouble).view({2, 4});
  const auto weight = dense("adaptive", {{"gap", 0.1}}, p.log());
  EXPECT_LT(
      gap(weight,
          at::tensor({0.6, 0.0, 0.0, 0.0, 0.4 / 0.75, 0.35 / 0.75, 0.0, 0.0}, at::kDouble).view({2, 4})),
      1e-12);
  const auto scores = distinct_scores(200, 8);
  int64_t before = 0;
  for (const double limit : {0.0, 0.05, 0.2, 1.0}) {
    const int64_t rows = plan_of(*policy("adaptive", {{"gap", limit}}), scores, false).rows();
    EXPECT_GT(rows, before);
    before = rows;
  }
  EXPECT_EQ(before, 400);
  EXPECT_EQ(plan_of(*policy("adaptive", {{"gap", 0.0}}), scores, false).rows(), 200);
}

TEST(Adaptive, EvenPairsWeighOneHalf) {
  const auto scores = distinct_scores(50, 3);
  const auto plan = plan_of(*policy("adaptive", {{"gap", 0.3}, {"pair", "even"}}), scores, false);
  const auto relative = plan_of(*policy("adaptive", {{"gap", 0.3}}), scores, false);
  EXPECT_TRUE(plan.token.equal(relative.token) && plan.offsets == relative.offsets);
  const auto weight = gw::dense_weights(plan), rows = weight.gt(0).sum(1);
  EXPECT_TRUE(weight.sum(1).eq(1).all().item<bool>());
  EXPECT_TRUE(weight.masked_select(weight.gt(0)).eq(0.5).sum().eq(2 * rows.eq(2).sum()).item<bool>());
  EXPECT_FALSE(policy("adaptive", {{"pair", "even"}})->traits().differentiable);
}

// In f32 evaluation takes one pass of a kernel, in f64 and with gradients single operations.
TEST(Adaptive, OnePassChoosesAndWeighsAsTheOperations) {
  auto scores = distinct_scores(300, 4).to(at::kFloat);
  scores.select(1, 0).narrow(0, 0, 20).fill_(gw::kMaskedScore);
  scores.narrow(0, 20, 3).narrow(1, 1, kExperts - 1).fill_(gw::kMaskedScore);  // a single expert to see
  const auto traced = scores.clone().requires_grad_(true);
  for (const double limit : {0.0, 0.1, 1.0}) {
    for (const auto& [pair, whole] : {std::pair{"even", true}, {"relative", true}, {"relative", false}}) {
      const gw::Json options{{"gap", limit}, {"pair", pair}, {"renormalise", whole}, {"scale", 1.5}};
      const auto part = policy("adaptive", options);
      const auto quick = plan_of(*part, scores, false);
      const auto exact = plan_of(*part, scores.to(at::kDouble), false), graph = plan_of(*part, traced, false);
      gw::validate_plan(quick);
      ASSERT_EQ(quick.offsets, exact.offsets) << limit << pair;
      EXPECT_TRUE(quick.token.equal(exact.token));
      EXPECT_LT(gap(quick.weight.to(at::kDouble), exact.weight), 1e-6) << limit << pair << whole;
      EXPECT_EQ(quick.offsets, graph.offsets);
      EXPECT_TRUE(quick.facts.first_choice.equal(exact.facts.first_choice));
    }
  }
}

// The largest threshold that the share allows, ties together; training keeps the option.
TEST(Adaptive, ACalibrationMeetsItsShareInEvaluation) {
  const auto scores = distinct_scores(200, 7), other = distinct_scores(400, 8);
  for (const double most : {0.004, 0.1, 0.25, 1.0}) {
    const auto part = policy("adaptive", {{"gap", 0.0}, {"most", most}});
    ASSERT_TRUE(part->wants_calibration());
    part->calibrate(scores);
    const auto pairs = [&](const at::Tensor& s, bool train) {
      return plan_of(*part, s, train).rows() - s.size(0);
    };
    EXPECT_EQ(pairs(scores, false), static_cast<int64_t>(most * 200 + 1e-9));
    EXPECT_NEAR(static_cast<double>(pairs(other, false)) / 400, most, 0.08);
    EXPECT_EQ(pairs(scores, true), 0);
    ASSERT_EQ(part->state().size(), 1u);
  }
  const auto part = policy("adaptive", {{"gap", 0.5}, {"most", 0.5}});
  part->calibrate(at::zeros({4, kExperts}, at::kDouble));
  EXPECT_EQ(plan_of(*part, at::zeros({4, kExperts}, at::kDouble), false).rows(), 4)
      << "all tie: none has two";
  part->calibrate(at::cat({at::zeros({2, kExperts}, at::kDouble), scores.narrow(0, 0, 2)}));
  EXPECT_EQ(plan_of(*part, at::zeros({4, kExperts}, at::kDouble), false).rows(), 8);
  EXPECT_THROW(part->calibrate(scores.narrow(0, 0, 0)), gw::ValueError);
  const auto fixed = policy("adaptive");
  EXPECT_FALSE(fixed->wants_calibration());
  EXPECT_TRUE(fixed->state().empty());
}

TEST(AdaMole, WeightsAreTheShiftedProbabilities) {
  const auto scores = distinct_scores(30, 9, kExperts + 1);
  const auto part = policy("adamole");
  const auto weight = gw::dense_weights(part->plan(scores, false, gw::Rng(1)));
  const auto q =
      (at::softmax(scores.narrow(1, 0, kExperts), 1) - at::sigmoid(scores.narrow(1, kExperts, 1)) / kExperts)
          .clamp_min(0);
  EXPECT_LT(gap(weight, q / q.sum(1, true)), 1e-12);
  const auto open = policy("adamole", {{"threshold", 0.0}})->plan(scores, false, gw::Rng(1));
  EXPECT_LT(gap(gw::dense_weights(open), at::softmax(scores.narrow(1, 0, kExperts), 1)), 1e-12);
  auto even = at::zeros({2, kExperts + 1}, at::kDouble);
  even.select(1, kExperts).fill_(100);  // θ = 1/E exactly: q is zero everywhere, and one expert stays
  EXPECT_EQ(part->plan(even, false, gw::Rng(1)).rows(), 2);
  EXPECT_LT(gap(part->plan(even, false, gw::Rng(1)).weight, at::ones({2}, at::kDouble)), 1e-12);
}

TEST(Relu, ChoosesThePositiveAndNothingElse) {
  const auto scores = distinct_scores(40, 10);
  EXPECT_LT(gap(dense("relu", Json::object(), scores), at::relu(scores)), 1e-15);
  EXPECT_EQ(plan_of(*policy("relu"), scores, false).rows(), scores.gt(0).sum().item<int64_t>());
  EXPECT_EQ(plan_of(*policy("relu"), -scores.abs(), false).rows(), 0);
}

TEST(SparseMixer, TrainingDrawsFromTheRivalsAndKeepsTheMean) {
  // Two rivals of probability 0.75 and 0.25 around a score of 100, the others far away.
  auto scores = at::full({20000, kExperts}, 50.0, at::kDouble);
  scores.select(1, 1).fill_(100 + std::log(3.0));
  scores.select(1, 2).fill_(100);
  const auto part = policy("sparsemixer", {{"width", 0.02}});
  const auto plan = part->plan(scores, true, gw::Rng(4));
  const auto first = plan.facts.first_choice;
  const double share = first.eq(1).to(at::kDouble).mean().item<double>();
  EXPECT_NEAR(share, 0.75, 0.015);
  const auto missed = gw::dense_weights(plan).select(1, 2).masked_select(first.eq(2));
  // Drawn at the runner-up: weight 0.25, or a third of it three times out of four.
  EXPECT_NEAR(missed.mean().item<double>(), 0.25 * (0.25 + 0.75 / 3), 0.005);
  auto leaf = scores.narrow(0, 0, 1).clone().requires_grad_(true);
  const auto p = at::softmax(leaf.narrow(1, 1, 2), 1).select(1, 0).sum();
  const auto expected = torch::autograd::grad({p}, {leaf})[0];
  const auto weight = gw::dense_weights(part->plan(leaf, false, gw::Rng(1))).select(1, 1).sum();
  EXPECT_LT(gap(torch::autograd::grad({weight}, {leaf})[0], expected), 1e-12);
}

TEST(GumbelSoftmax, DrawsFollowTheSoftmaxAndAveragingShrinksTheSpread) {
  const auto scores = at::tensor({0.0, 1.0, 2.0, -1.0}, at::kDouble).expand({20000, 4}).contiguous();
  const auto hard = policy("gumbel_softmax", {{"hard", true}})->plan(scores, true, gw::Rng(2));
  const auto p = at::softmax(scores[0], 0);
  for (int64_t e = 0; e < 4; ++e)
    EXPECT_NEAR(static_cast<double>(hard.rows_of(e)) / 20000, p[e].item<double>(), 0.012);
  EXPECT_TRUE(hard.weight.eq(1).all().item<bool>());
  const auto spread = [&](int64_t samples) {
    return dense("gumbel_softmax", {{"samples", samples}}, scores).std(0)[1].item<double>();
  };
  EXPECT_NEAR(spread(10) / spread(1), std::sqrt(0.1), 0.03);
  EXPECT_LT(gap(dense("gumbel_softmax", {{"temperature", 2.0}}, scores), at::softmax(scores / 2, 1)),
            1e-15);  // repeats
  EXPECT_THROW(policy("gumbel_softmax", {{"temperature", -1.0}}), gw::ValueError);
  EXPECT_THROW(policy("gumbel_softmax", {{"temperature", 0.0}}), gw::ValueError);
}

// Fails if evaluation draws by token, or if training does not.
TEST(GumbelSoftmax, CommonDrawsAreThoseOfEveryToken) {
  const auto scores = at::tensor({0.0, 1.0, 2.0, -1.0}, at::kDouble).expand({500, 4}).contiguous();
  const auto part = policy("gumbel_softmax", {{"samples", 3}, {"common", true}});
  const auto weights = gw::dense_weights(part->plan(scores, false, gw::Rng(5)));
  EXPECT_LT(gap(weights, weights.narrow(0, 0, 1).expand({500, 4})), 1e-15);
  EXPECT_TRUE(weights.narrow(0, 7, 90).equal(
      gw::dense_weights(part->plan(scores.narrow(0, 7, 90), false, gw::Rng(5)))));
  EXPECT_GT(gap(weights, gw::dense_weights(part->plan(scores, false, gw::Rng(6)))), 1e-3);
  EXPECT_GT(gw::dense_weights(part->plan(scores, true, gw::Rng(5))).std(0)[1].item<double>(), 0.05);
}

TEST(Hash, BalancesByFrequencyAndRefusesUnknownIds) {
  const auto part =
      policy("hash", {{"table", "balanced"}, {"frequencies", {8.0, 4.0, 3.0, 1.0, 1.0, 1.0}}}, 2);
  auto inputs = inputs_for(6);
  inputs.token_id = at::arange(6, at::kLong);
  const auto plan = part->plan_for(at::zeros({6, 2}), inputs, false);
  // 8 → expert 0; 4, 3, 1 → expert 1 (8 = 8); then ties to expert 0, and the last to expert 1.
  EXPECT_TRUE(gw::chosen_experts(plan).equal(at::tensor({0, 1, 1, 1, 0, 1}, at::kLong)));
  inputs.token_id = at::arange(1, 7, at::kLong);
  EXPECT_THROW(part->plan_for(at::zeros({6, 2}), inputs, false), gw::ValueError);
  EXPECT_THROW(policy("hash", {{"table", "balanced"}}), gw::ValueError);
  inputs.token_id = at::arange(6, at::kLong) - 1;
  EXPECT_THROW(policy("hash")->plan_for(at::zeros({6, kExperts}), inputs, false), gw::ValueError);
  inputs.token_id = at::arange(1000, at::kLong);
  const auto random = policy("hash")->plan_for(at::zeros({1000, kExperts}), inputs, false);
  EXPECT_GT(gw::load_entropy(random), 0.99);
}

TEST(Random, OneDrawServesABatchOrEachTokenHasItsOwn) {
  const auto scores = at::zeros({400, kExperts});
  const auto batch = policy("random", {{"k", 2}})->plan(scores, true, gw::Rng(1));
  EXPECT_EQ(gw::chosen_experts(batch).min().item<int64_t>(), gw::chosen_experts(batch).max().item<int64_t>());
  EXPECT_EQ(batch.rows(), 800);
  EXPECT_GT(gw::load_entropy(policy("random", {{"per", "token"}})->plan(scores, true, gw::Rng(1))), 0.99);
  const auto average = policy("random", {{"evaluation", "average"}});
  EXPECT_EQ(average->plan(scores, false, gw::Rng(1)).rows(), 1600);
  EXPECT_FALSE(average->traits().random);
}

TEST(Given, EnforcesRoutesAndChecksThem) {
  auto inputs = inputs_for(3);
  inputs.route = at::tensor({2, -1, 0, 1, -1, -1}, at::kLong).view({3, 2});
  const auto scores = distinct_scores(3, 5);
  const auto one = gw::dense_weights(policy("given")->plan_for(scores, inputs, true));
  EXPECT_LT(gap(one, at::tensor({0., 0., 1., 0., .5, .5, 0., 0., 0., 0., 0., 0.}, at::kDouble).view({3, 4})),
            1e-15);
  const auto soft =
      gw::dense_weights(policy("given", {{"weight", "softmax"}})->plan_for(scores, inputs, true));
  EXPECT_LT(gap(soft, at::softmax(scores, 1) * one.gt(0)), 1e-15);
  inputs.route = at::tensor({0, 4, 1}, at::kLong);
  EXPECT_THROW(policy("given")->plan_for(scores, inputs, true), gw::ValueError);
  inputs.route = at::tensor({0, 1}, at::kLong);
  EXPECT_THROW(policy("given")->plan_for(scores, inputs, true), gw::ValueError);
}

TEST(SoftMoe, DispatchSumsOverTokensAndCombineOverSlots) {
  const auto part = policy("soft_moe", {{"slots", 3}});
  EXPECT_EQ(part->columns(), 12);
  const auto scores = distinct_scores(7, 6, 12);
  const auto plan = part->plan(scores, true, gw::Rng(1));
  EXPECT_LT(gap(plan.dispatch.sum(1), at::ones({12}, at::kDouble)), 1e-12);
  EXPECT_LT(gap(plan.combine.sum(1), at::ones({7}, at::kDouble)), 1e-12);
  EXPECT_LT(gap(plan.dispatch, at::softmax(scores, 0).t()), 1e-15);
  EXPECT_EQ(plan.rows_of(1), 3);
}

TEST(Cmr, SplitsBetweenTheSharedExpertAndTheRouted) {
  const auto scores = distinct_scores(9, 7);
  const auto plan = plan_of(*policy("cmr", {{"k", 1}}), scores, false);
  const auto weight = gw::dense_weights(plan), g = at::sigmoid(scores.select(1, 0));
  EXPECT_LT(gap(weight.select(1, 0), 1 - g), 1e-12);
  EXPECT_TRUE(weight.narrow(1, 1, 3).argmax(1).equal(scores.narrow(1, 1, 3).argmax(1)));
  EXPECT_NEAR(plan.aux.at("cmr_budget").item<double>(), 0.1 * std::abs(g.mean().item<double>() - 0.8), 1e-12);
  EXPECT_THROW(policy("cmr", {{"k", 4}}), gw::ValueError);
}

TEST(EarlyExit, LeavesAtTheFirstSureExit) {
  // g = (0.3, 0.6, 0.9): P = (0.3, 0.6, 0.1), rest 0; q = (0.3, 0.6/0.7, …): the second exit is the first
  // with q ≥ 0.5.
  const auto g = at::tensor({0.3, 0.6, 0.9, 0.5}, at::kDouble);
  const auto scores = (g / (1 - g)).log().view({1, 4});
  const auto weight = dense("early_exit", Json::object(), scores, true);
  EXPECT_LT(gap(weight, at::tensor({0.3, 0.6, 0.1, 0.0}, at::kDouble).view({1, 4})), 1e-12);
  EXPECT_EQ(gw::chosen_experts(plan_of(*policy("early_exit"), scores, false)).item<int64_t>(), 1);
  EXPECT_EQ(
      gw::chosen_experts(plan_of(*policy("early_exit", {{"threshold", 0.2}}), scores, false)).item<int64_t>(),
      0);
  EXPECT_EQ(gw::chosen_experts(plan_of(*policy("early_exit"), at::full({1, 4}, -9.0, at::kDouble), false))
                .item<int64_t>(),
            3);
}

TEST(Top1StraightThrough, WeightIsOneAndOnlyTheWinnerHearsOfTheLoss) {
  auto scores = distinct_scores(5, 13).requires_grad_(true);
  const auto plan = policy("top1_straight_through")->plan(scores, true, gw::Rng(1));
  EXPECT_TRUE(plan.weight.detach().eq(1).all().item<bool>());
  const auto g = torch::autograd::grad({plan.weight.sum()}, {scores})[0];
  EXPECT_EQ(g.count_nonzero().item<int64_t>(), 5);
  EXPECT_TRUE(g.argmax(1).equal(scores.argmax(1)));
}

TEST(Deepseek, GroupsMustFit) {
  EXPECT_THROW(policy("deepseek_v2", {{"groups", 3}}), gw::ValueError);
  EXPECT_THROW(policy("deepseek_v2", {{"groups", 2}, {"kept_groups", 3}}), gw::ValueError);
  EXPECT_THROW(policy("deepseek_v2", {{"groups", 4}, {"kept_groups", 1}, {"k", 2}}), gw::ValueError);
  EXPECT_THROW(policy("deepseek_v3", {{"groups", 4}}),
               gw::ValueError);  // one expert per group: no sum of two
}

}  // namespace gw::test::policies_cases
