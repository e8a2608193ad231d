// Every registered gate, policy and balancer must pass: a new part is born tested.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/routing/parts.h"
#include "tests/support/gradcheck.h"

namespace gw::test::conformance_cases {

class PolicyConformance : public testing::TestWithParam<std::string> {};
class GateConformance : public testing::TestWithParam<std::string> {};

TEST_P(PolicyConformance, DeclaresTheTraitsOfItsDefaults) {
  EXPECT_EQ(gw::Registry::instance().info("policies", GetParam()).traits,
            policy(GetParam())->traits().words());
}

TEST_P(PolicyConformance, PlansAreValidFiniteAndRepeatable) {
  for (const int64_t tokens : {0, 1, 3, 7, 64}) {  // 3 < E
    for (const bool train : {true, false}) {
      const auto part = policy(GetParam());
      const auto scores = scores_for(*part, tokens, 1);
      const auto a = plan_of(*part, scores, train), b = plan_of(*policy(GetParam()), scores, train);
      gw::validate_plan(a);
      EXPECT_TRUE(a.weight.isfinite().all().item<bool>());
      EXPECT_TRUE(a.token.equal(b.token) && a.weight.equal(b.weight) && a.offsets == b.offsets);
      EXPECT_EQ(a.tokens, tokens);
      EXPECT_EQ(a.experts(), kExperts);
      EXPECT_TRUE(a.scores.defined());
      EXPECT_GE(a.weight.numel() == 0 ? 0 : a.weight.min().item<double>(), 0);
    }
  }
}

TEST_P(PolicyConformance, ASingleExpertGetsEverything) {
  gw::Json options = gw::Json::object();
  if (has_option("policies", GetParam(), "k")) options["k"] = 1;
  std::shared_ptr<gw::Policy> part;
  try {
    part = policy(GetParam(), options, 1);
  } catch (const gw::ValueError& error) {  // pairs need two experts, cmr a routed one beside the shared one;
                                           // no option would help
    const std::string what = error.what();
    EXPECT_NE(what.find("raise experts"), std::string::npos) << what;
    EXPECT_EQ(what.find("lower"), std::string::npos) << what;
    return;
  }
  auto inputs = inputs_for(5);
  inputs.route = at::zeros({5}, at::kLong);
  const auto plan =
      part->plan_for(scores_for(*part, 5, 1).abs(), inputs, false);  // positive: ReLU keeps the expert
  gw::validate_plan(plan);
  EXPECT_TRUE(gw::chosen_experts(plan).eq(0).all().item<bool>());
}

// k = E: nobody is left out, unless a policy says that it drops tokens.
TEST_P(PolicyConformance, AllExpertsMayBeChosen) {
  if (!has_option("policies", GetParam(), "k")) return;
  const bool shared = std::string(GetParam()) == "cmr";  // its shared expert is not one of the k
  const auto part = policy(GetParam(), {{"k", shared ? kExperts - 1 : kExperts}});
  const auto plan = part->plan_for(scores_for(*part, 9, 3), inputs_for(9), false);
  gw::validate_plan(plan);
  EXPECT_TRUE(plan.weight.isfinite().all().item<bool>());
  if (part->traits().drops_tokens || part->traits().batch_dependent) return;
  for (int64_t e = 0; e < kExperts; ++e) EXPECT_EQ(plan.rows_of(e), 9) << "expert " << e;
}

TEST_P(PolicyConformance, PermutedTokensPermuteThePlan) {
  const auto part = policy(GetParam());
  if (part->traits().order_dependent) return;
  const auto scores = scores_for(*part, 33, 2);
  const auto order = at::randperm(33, at::kLong);
  const auto inputs = inputs_for(33);
  const auto a = part->plan_for(scores, inputs, false);
  const auto b = part->plan_for(scores.index_select(0, order), selected(inputs, order), false);
  EXPECT_TRUE(gw::chosen_experts(a).index_select(0, order).equal(gw::chosen_experts(b)));
  EXPECT_LT((gw::dense_weights(a).index_select(0, order) - gw::dense_weights(b)).abs().max().item<double>(),
            1e-12);
}

TEST_P(PolicyConformance, ASplitBatchDecidesAlike) {
  const auto part = policy(GetParam());
  if (part->traits().batch_dependent) return;
  const auto scores = scores_for(*part, 20, 4);
  const auto inputs = inputs_for(20);
  std::vector<gw::RoutingPlan> parts;
  for (const auto& piece : at::arange(20, at::kLong).split_with_sizes({7, 0, 1, 12})) {
    parts.push_back(part->plan_for(scores.index_select(0, piece), selected(inputs, piece), false));
  }
  const auto whole = part->plan_for(scores, inputs, false), merged = gw::merge_plans(parts);
  EXPECT_EQ(whole.offsets, merged.offsets);
  EXPECT_TRUE(whole.token.equal(merged.token));
  EXPECT_LT((whole.weight - merged.weight).abs().max().item<double>(), 1e-15);
}

TEST_P(PolicyConformance, TiesGoToTheLowestIndex) {
  const auto part = policy(GetParam());
  const auto traits = part->traits();
  if (traits.batch_dependent || traits.random || *traits.needs != '\0') return;
  const auto plan =
      part->plan(at::full({5, part->columns()}, 1.0), false, gw::Rng(3));  // one, not zero: ReLU chooses
  EXPECT_EQ(gw::chosen_experts(plan).sum().item<int64_t>(), 0);
}

TEST_P(PolicyConformance, EveryTokenHasAnExpertUnlessItSaysOtherwise) {
  const auto part = policy(GetParam());
  if (part->traits().drops_tokens) return;
  auto scores = scores_for(*part, 40, 8);
  scores.select(1, 2).add_(10);  // crowded: whatever limits an expert must send the rest elsewhere
  for (const bool train : {true, false})
    EXPECT_GE(gw::chosen_experts(plan_of(*part, scores, train)).min().item<int64_t>(), 0);
}

TEST_P(PolicyConformance, WeightsSumToOneWhereItSaysSo) {
  const auto part = policy(GetParam());
  if (!part->traits().sums_to_one) return;
  for (const bool train : {true, false}) {
    const auto plan = plan_of(*part, scores_for(*part, 40, 8), train);
    const auto sum = gw::dense_weights(plan).sum(1);
    const auto present = gw::chosen_experts(plan).ge(0).to(at::kDouble);
    EXPECT_LT((sum - present).abs().max().item<double>(), 1e-12);
  }
}

TEST_P(PolicyConformance, CapacityIsExactlyRespected) {
  if (!has_option("policies", GetParam(), "capacity")) return;
  for (const int64_t capacity : {1, 3, 7}) {
    for (const auto* overflow : {"drop", "next"}) {
      const auto part = policy(GetParam(), {{"capacity", capacity}, {"overflow", overflow}});
      EXPECT_TRUE(part->traits().batch_dependent);
      auto scores = scores_for(*part, 24, 8).abs();
      scores.select(1, 2).add_(10);  // every token wants expert 2
      const auto plan = plan_of(*part, scores, false);
      gw::validate_plan(plan);
      for (int64_t e = 0; e < kExperts; ++e) EXPECT_LE(plan.rows_of(e), capacity);
      EXPECT_EQ(plan.rows_of(2), capacity);
    }
  }
}

TEST_P(PolicyConformance, RefusesWhatIsNotFiniteOrAllMasked) {
  const auto part = policy(GetParam());
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    for (const auto type : {at::kDouble, at::kFloat}) {
      auto scores = scores_for(*part, 3, 5).to(type);
      scores[1][2] = bad;
      for (const bool train : {true, false}) {
        expect_refusal<gw::NumericError>(
            [&] { plan_of(*part, scores, train); },
            "policies/" + GetParam() + ": expected finite scores, got NaN or infinity for token 1; look at ");
      }
    }
  }
  const int64_t columns = part->columns();
  const auto wrong = at::zeros({3, columns + 1});
  expect_refusal([&] { plan_of(*part, wrong, false); },
                 fmt::format("policies/{}: expected scores [T, {}], got 2 dimensions, last of size {}",
                             GetParam(), columns, columns + 1));
  auto masked = scores_for(*part, 3, 5);
  masked[1].fill_(gw::kMaskedScore);
  expect_refusal([&] { plan_of(*part, masked, false); },
                 fmt::format("policies/{}: expected an expert that token 1 may see, got all {} masked; ",
                             GetParam(), columns));
}

TEST_P(PolicyConformance, AMaskedExpertIsNotChosen) {
  const auto part = policy(GetParam());
  const auto traits = part->traits();
  if (traits.random || *traits.needs != '\0') return;  // do not look at scores
  if (traits.soft || GetParam() == "early_exit" || GetParam() == "cmr")
    return;  // slots, exits and the shared expert are never left out
  auto scores = scores_for(*part, 12, 5).abs();
  scores.select(1, 1).fill_(gw::kMaskedScore);
  const auto plan = plan_of(*part, scores, false);
  EXPECT_EQ(plan.rows_of(1), 0);
  EXPECT_TRUE(plan.weight.isfinite().all().item<bool>());
}

TEST_P(PolicyConformance, NamesWhatItNeeds) {
  const auto part = policy(GetParam());
  const std::string needs = part->traits().needs;
  if (needs.empty()) return;
  try {
    part->plan(scores_for(*part, 3, 1), false, gw::Rng(1));
    FAIL() << "expected an error";
  } catch (const gw::ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("RouterInputs::" + needs), std::string::npos) << error.what();
  }
}

TEST_P(PolicyConformance, UnknownOptionsAreRefused) {
  EXPECT_THROW(policy(GetParam(), {{"no_such_option", 1}}), gw::ValueError);
  if (!has_option("policies", GetParam(), "k")) return;
  EXPECT_THROW(policy(GetParam(), {{"k", kExperts + 1}}), gw::ValueError);
}

// Near one another, so that policies which only compare rivals have some; gaps are a thousand times the steps
// below.
at::Tensor close_scores(const gw::Policy& part, int64_t tokens) {
  return scores_for(part, tokens, 6) * 0.002 + 1;
}

TEST_P(PolicyConformance, GradientReachesTheScores) {
  const auto part = policy(GetParam());
  auto scores = close_scores(*part, 16).requires_grad_(true);
  const auto dense = gw::dense_weights(plan_of(*part, scores, true));
  if (!part->traits().differentiable) {
    EXPECT_FALSE(dense.requires_grad());
    return;
  }
  const auto factor = gw::ops::normal(gw::Rng(9), dense.sizes(), 0, 1).to(at::kDouble);
  const auto g = torch::autograd::grad({(dense * factor).sum()}, {scores})[0];
  EXPECT_GT(g.norm().item<double>(), 1e-3);
  EXPECT_TRUE(g.isfinite().all().item<bool>());
}

TEST_P(PolicyConformance, GradientIsThatOfTheWeights) {
  const auto part = policy(GetParam());
  const auto traits = part->traits();
  if (!traits.differentiable || traits.straight_through) return;
  const auto weights = [&](const std::vector<at::Tensor>& x) {
    return std::vector{gw::dense_weights(plan_of(*part, x[0], false))};
  };
  EXPECT_LT(gradient_error(weights, {close_scores(*part, 6)}, 1e-6), 1e-6);
  EXPECT_LT(gradient_error(weights, {scores_for(*part, 6, 6)}, 1e-6), 1e-6);
}

gw::RouterInputs gate_inputs(int64_t tokens) { return inputs_for(tokens); }

at::Tensor gate_input(const gw::Gate& gate, int64_t batch, uint64_t seed) {
  return gate.takes_images() ? gw::ops::uniform(gw::Rng(seed), {batch, kWidth, 16, 16}, 0, 1)
                             : gw::ops::normal(gw::Rng(seed), {batch, kWidth}, 0, 1);
}

TEST_P(GateConformance, ScoresAreFiniteRepeatableAndIndependentOfTheSplit) {
  const auto one = gate(GetParam()), twin = gate(GetParam());
  one->eval(), twin->eval();
  const auto x = gate_input(*one, 8, 1);
  const auto inputs = gate_inputs(8);
  const at::NoGradGuard no_grad;
  const auto scores = one->score(x, inputs);
  const int64_t rows = has_trait("gates", GetParam(), "per pixel") ? 8 * 16 * 16 : 8;
  EXPECT_EQ(scores.size(0), rows);
  EXPECT_EQ(scores.size(1), has_trait("gates", GetParam(), "2 experts only") ? 2 : kExperts);
  EXPECT_TRUE(scores.isfinite().all().item<bool>());
  EXPECT_TRUE(scores.equal(twin->score(x, inputs)));
  std::vector<at::Tensor> parts;  // at a sequence's end: sequences are of four tokens
  for (const auto& piece : at::arange(8, at::kLong).split(4))
    parts.push_back(one->score(x.index_select(0, piece), selected(inputs, piece)));
  EXPECT_LT((scores - at::cat(parts)).abs().max().item<double>(), 1e-5);
}

TEST_P(GateConformance, NoTokensGiveNoScores) {
  const auto part = gate(GetParam());
  part->eval();
  if (part->takes_images()) return;
  EXPECT_EQ(part->score(at::zeros({0, kWidth}), gate_inputs(0)).size(0), 0);
}

TEST_P(GateConformance, TheLossReachesEveryParameter) {
  const auto part = gate(GetParam());
  part->train();
  const auto x = gate_input(*part, 8, 1);
  const auto parameters = part->parameters();
  if (parameters.empty()) return;  // fixed directions
  // Some parameters wait behind a zero (low-rank maps): one step away from the start all must be reached.
  {
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < parameters.size(); ++i)
      parameters[i].add_(gw::ops::normal(gw::Rng(40 + i), parameters[i].sizes(), 0, 0.05));
  }
  const auto scores = part->score(x, gate_inputs(8));
  auto loss = (scores * gw::ops::normal(gw::Rng(2), scores.sizes(), 0, 1)).sum();
  const auto ahead = part->ahead(x);
  EXPECT_EQ(ahead.defined(), has_trait("gates", GetParam(), "scores for the next block"));
  if (ahead.defined()) loss = loss + (ahead * gw::ops::normal(gw::Rng(3), ahead.sizes(), 0, 1)).sum();
  const auto gradients = torch::autograd::grad({loss}, parameters, {}, {}, false, /*allow_unused=*/true);
  for (size_t i = 0; i < gradients.size(); ++i) {
    ASSERT_TRUE(gradients[i].defined()) << part->named_parameters()[i].key();
    EXPECT_GT(gradients[i].norm().item<double>(), 0) << part->named_parameters()[i].key();
  }
}

TEST_P(GateConformance, RefusesOtherShapes) {
  const auto part = gate(GetParam());
  EXPECT_THROW(part->score(at::zeros({2, 5}), gate_inputs(2)), gw::ValueError);
  EXPECT_THROW(part->score(at::zeros({2, 5, 8, 8}), gate_inputs(2)), gw::ValueError);
}

TEST_P(GateConformance, NamesWhatItNeeds) {
  for (const auto& word : gw::Registry::instance().info("gates", GetParam()).traits) {
    if (word.rfind("needs ", 0) != 0) continue;
    const auto part = gate(GetParam());
    try {
      part->forward(gate_input(*part, 3, 1));
      FAIL() << "expected an error";
    } catch (const gw::ValueError& error) {
      EXPECT_NE(std::string(error.what()).find("RouterInputs::" + word.substr(6)), std::string::npos)
          << error.what();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, PolicyConformance, testing::ValuesIn(names("policies")), kPartName);
INSTANTIATE_TEST_SUITE_P(All, GateConformance, testing::ValuesIn(names("gates")), kPartName);

}  // namespace gw::test::conformance_cases
