// Every policy inside a mixture: the answer is the one its plan stands for, and losses reach the router.
#include <gtest/gtest.h>

#include "gatewright/base/registry.h"
#include "gatewright/mixture/mixture.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/load.h"

namespace gw::test::routers_cases {

constexpr int64_t kTokens = 12, kExperts = 4, kWidth = 6;

std::vector<std::string> policies() {
  std::vector<std::string> out;
  for (const auto& part : gw::Registry::instance().list("policies")) out.push_back(part.name);
  return out;
}

std::shared_ptr<gw::Mixture> make(const gw::Json& more) {
  gw::Json json{{"experts", kExperts},
                {"in", kWidth},
                {"seed", 3},
                {"gate", {{"part", "linear"}, {"init_scale", 2.0}}}};
  json.update(more);
  auto mixture = gw::Mixture::from_json(json);
  mixture->to(at::kDouble);
  return mixture;
}

at::Tensor tokens(int64_t count = kTokens) {
  return gw::ops::normal(gw::Rng(1), {count, kWidth}, 0, 1).to(at::kDouble);
}

gw::RouterInputs inputs() {
  gw::RouterInputs inputs;
  inputs.rng = gw::Rng(7);
  inputs.token_id = at::arange(kTokens, at::kLong) * 31;
  inputs.route = at::arange(kTokens, at::kLong).remainder(kExperts);
  return inputs;
}

class EveryPolicy : public testing::TestWithParam<std::string> {};

TEST_P(EveryPolicy, AnswersWhatItsPlanSays) {
  const auto mixture = make({{"policy", {{"part", GetParam()}}}});
  const auto x = tokens();
  for (const bool train : {true, false}) {
    mixture->train(train);
    const auto out = mixture->forward(x, inputs());
    auto expected = at::zeros_like(x);
    if (out.plan.soft()) {
      const auto slots = at::matmul(out.plan.dispatch, x);
      for (int64_t r = 0; r < out.plan.rows(); ++r) {
        const auto expert = gw::expert_of_rows(out.plan)[r].item<int64_t>();
        expected += at::matmul(out.plan.combine.narrow(1, r, 1),
                               mixture->bank().run_one(slots.narrow(0, r, 1), expert));
      }
    } else {
      const auto dense = gw::dense_weights(out.plan);
      for (int64_t e = 0; e < kExperts; ++e)
        expected += dense.narrow(1, e, 1) * mixture->bank().run_one(x, e);
    }
    EXPECT_LT((out.y - expected).abs().max().item<double>(), 1e-12);
  }
}

TEST_P(EveryPolicy, TheTasksLossReachesTheRouterWhereItMay) {
  const auto mixture = make({{"policy", {{"part", GetParam()}}}});
  const auto x = tokens(), target = gw::ops::normal(gw::Rng(2), {kTokens, kWidth}, 0, 1).to(at::kDouble);
  const auto loss = (mixture->forward(x, inputs()).y - target).square().sum();
  const auto gate = mixture->gate().parameters();
  const auto g = torch::autograd::grad({loss}, gate, {}, {}, false, /*allow_unused=*/true)[0];
  const bool reached = g.defined() && g.norm().item<double>() > 0;
  // Close rivals only: at these scores sparsemixer's two softmaxes are each over one expert.
  if (GetParam() == "sparsemixer") return;
  EXPECT_EQ(reached, mixture->policy().traits().differentiable);
}

const auto kName = [](const auto& part) { return part.param; };
INSTANTIATE_TEST_SUITE_P(All, EveryPolicy, testing::ValuesIn(policies()), kName);

TEST(Mixture, KEqualsEWithoutLimitIsTheDenseMixture) {
  const auto dense = make({{"policy", {{"part", "dense_softmax"}}}});
  for (const auto* part : {"softmax_top_k", "top_k_softmax"}) {
    const auto sparse = make({{"policy", {{"part", part}, {"k", kExperts}}}});
    EXPECT_LT((sparse->forward(tokens()).y - dense->forward(tokens()).y).abs().max().item<double>(), 1e-12)
        << part;
  }
}

TEST(Mixture, BypassLetsWhatIsDroppedPass) {
  const gw::Json policy{{"part", "switch_top1"}, {"capacity", 1}, {"overflow", "bypass"}, {"jitter", 0.0}};
  const auto mixture = make({{"policy", policy}}),
             without = make({{"policy", {{"part", "switch_top1"}, {"capacity", 1}, {"jitter", 0.0}}}});
  mixture->eval(), without->eval();
  const auto x = tokens();
  const auto out = mixture->forward(x);
  const auto p = std::get<0>(at::softmax(out.plan.scores, 1).max(1, true));
  const auto lost = gw::chosen_experts(out.plan).lt(0).to(at::kDouble).unsqueeze(1);
  ASSERT_GT(lost.sum().item<double>(), 0);
  EXPECT_LT((out.y - without->forward(x).y - lost * p * x).abs().max().item<double>(), 1e-12);
  const auto narrow = make({{"policy", policy}, {"out", 3}});
  narrow->eval();
  EXPECT_THROW(narrow->forward(x), gw::ValueError);  // what bypasses has another width than the answers
}

TEST(Mixture, PreGatedBlocksHandTheirScoresOn) {
  const auto first = make({{"gate", {{"part", "pre_gate"}}}});
  const auto second = make({{"gate", {{"part", "pre_gate"}, {"first", false}, {"last", true}}}, {"seed", 4}});
  const auto x = tokens();
  const auto out = first->forward(x);
  ASSERT_TRUE(out.next_scores.defined());
  gw::RouterInputs ahead;
  ahead.scores = out.next_scores;
  const auto next = second->forward(out.y, ahead);
  EXPECT_TRUE(next.plan.scores.equal(out.next_scores));
  EXPECT_FALSE(next.next_scores.defined());
  EXPECT_THROW(second->forward(out.y), gw::ValueError);
}

TEST(Mixture, ControllersActBetweenStepsOnTheWholeBatchAndAreSaved) {
  const gw::Json json{{"policy", {{"part", "deepseek_v3"}, {"k", 1}}},
                      {"balancers", {R"({"part": "bias_update", "rate": 0.5})"}}};
  const auto mixture = make(json), halves = make(json);
  const auto bias = [](gw::Mixture& m) { return m.named_buffers()["policy_selection_bias"].clone(); };
  const auto x = tokens(64);
  mixture->forward(x);
  EXPECT_EQ(bias(*mixture).abs().sum().item<double>(), 0);  // not within a step
  mixture->end_step();
  EXPECT_GT(bias(*mixture).abs().sum().item<double>(), 0);
  halves->forward(x.narrow(0, 0, 20));
  halves->forward(x.narrow(0, 20, 44));
  halves->end_step();
  EXPECT_TRUE(bias(*mixture).equal(bias(*halves)));
  mixture->eval();
  mixture->forward(x);
  const auto before = bias(*mixture);
  mixture->end_step();
  EXPECT_TRUE(before.equal(bias(*mixture)));  // evaluation teaches nothing
  // What is written into the buffer is what the policy chooses by.
  mixture->named_buffers()["policy_selection_bias"].copy_(at::tensor({0.0, 0.0, 100.0, 0.0}));
  EXPECT_EQ(mixture->forward(x).plan.rows_of(2), 64);
}

TEST(Mixture, BalancersTakeOptions) {
  EXPECT_THROW(make({{"balancers", {R"({"part": "switch_loss", "coeficient": 1})"}}}), gw::ValueError);
  const auto one = make({{"balancers", {R"({"part": "switch_loss", "coefficient": 2.0})"}}}),
             two = make({{"balancers", {"switch_loss"}}});
  const auto a = one->forward(tokens()).plan.aux.at("switch_loss"),
             b = two->forward(tokens()).plan.aux.at("switch_loss");
  EXPECT_NEAR(a.item<double>(), 200 * b.item<double>(), 1e-12);
}

TEST(Mixture, APassWhoseLossesNobodyReadsComputesNone) {
  const auto layer = make({{"balancers", {"switch_loss"}}});
  const auto x = tokens();
  gw::Pass read, unread;
  read.train = unread.train = false, unread.losses = false;
  const auto a = layer->forward(x, {}, read), b = layer->forward(x, {}, unread);
  EXPECT_EQ(a.plan.aux.count("switch_loss"), 1u);
  EXPECT_TRUE(b.plan.aux.empty());
  EXPECT_TRUE(a.y.equal(b.y));
}

}  // namespace gw::test::routers_cases
