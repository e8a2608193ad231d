// Draws of passes without a stream of theirs: new ones each time, the same ones after the same start.
#include <gtest/gtest.h>
#include <torch/serialize.h>

#include <sstream>

#include "gatewright/mixture/mixture.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/load.h"

namespace gw::test::draws_cases {

constexpr int64_t kTokens = 48, kExperts = 4, kWidth = 6;

const gw::Json& drawing() {
  static const gw::Json all = {
      {"random", {{"part", "random"}}},
      {"random_per_token", {{"part", "random"}, {"per", "token"}}},
      {"gshard_top2", {{"part", "gshard_top2"}, {"capacity_factor", 0.0}}},
      {"noisy_top_k", {{"part", "noisy_top_k"}}},
      {"gumbel_softmax", {{"part", "gumbel_softmax"}}},
      {"switch_top1", {{"part", "switch_top1"}, {"jitter", 0.3}}},
      {"batch_priority", {{"part", "batch_priority"}, {"noise", 4.0}}},
      {"sparsemixer", {{"part", "sparsemixer"}, {"width", 1.0}}},
      {"nllb_top2", {{"part", "nllb_top2"}}},
      {"expert_masking", {{"part", "softmax_top_k"}, {"expert_masking", 0.3}}},
  };
  return all;
}

std::shared_ptr<gw::Mixture> layer(const std::string& choice, int64_t seed = 3) {
  return gw::Mixture::from_json({{"experts", kExperts},
                                 {"in", kWidth},
                                 {"seed", seed},
                                 {"gate", {{"part", "linear"}, {"init_scale", 1.0}}},
                                 {"policy", drawing().at(choice)}});
}

at::Tensor tokens() { return gw::ops::normal(gw::Rng(1), {kTokens, kWidth}, 0, 1); }

at::Tensor weights(gw::Mixture& layer) { return gw::dense_weights(layer.forward(tokens()).plan).detach(); }

class Draws : public testing::TestWithParam<std::string> {};

TEST_P(Draws, DifferFromPassToPassAndRepeatFromTheSameStart) {
  const auto one = layer(GetParam()), two = layer(GetParam());
  std::vector<at::Tensor> seen;
  for (int pass = 0; pass < 6; ++pass) {
    const auto x = tokens();
    const auto a = one->forward(x), b = two->forward(x);
    EXPECT_TRUE(a.y.equal(b.y)) << "pass " << pass;
    seen.push_back(gw::dense_weights(a.plan).detach());
  }
  int differing = 0;
  for (size_t pass = 1; pass < seen.size(); ++pass) differing += seen[pass].equal(seen[pass - 1]) ? 0 : 1;
  EXPECT_GE(differing, GetParam() == "random"
                           ? 2
                           : 5);  // one draw of 4 experts for the whole batch may come twice in a row
}

TEST_P(Draws, OfAGivenStreamStayAsTheyAre) {
  const auto made = layer(GetParam());
  const auto first = made->forward(tokens(), gw::Rng(9)).y;
  made->forward(tokens());
  EXPECT_TRUE(made->forward(tokens(), gw::Rng(9)).y.equal(first));
  gw::RouterInputs inputs;
  inputs.rng = gw::Rng(9);
  EXPECT_TRUE(made->forward(tokens(), inputs).y.equal(first));
}

TEST_P(Draws, InputsWithoutAStreamDrawAnewToo) {
  const auto made = layer(GetParam());
  std::vector<at::Tensor> seen;
  for (int pass = 0; pass < 8; ++pass)
    seen.push_back(gw::dense_weights(made->forward(tokens(), gw::RouterInputs{}).plan).detach());
  EXPECT_TRUE(std::any_of(seen.begin(), seen.end(), [&](const at::Tensor& w) { return !w.equal(seen[0]); }));
}

std::vector<std::string> choices() {
  std::vector<std::string> out;
  const auto all = drawing();
  for (const auto& item : all.items()) out.push_back(item.key());
  return out;
}
const auto kName = [](const auto& choice) { return choice.param; };
INSTANTIATE_TEST_SUITE_P(Policies, Draws, testing::ValuesIn(choices()), kName);

// One draw for all passes gave one expert all of the rows, and the first token of a batch never kept its
// second expert.
TEST(LayerDraws, ReachEveryExpertAndEveryToken) {
  const auto random = layer("random");
  auto rows = at::zeros({kExperts});
  for (int pass = 0; pass < 200; ++pass) rows += gw::load(random->forward(tokens()).plan).to(at::kFloat);
  for (int64_t e = 0; e < kExperts; ++e)
    EXPECT_NEAR(rows[e].item<double>() / (200 * kTokens), 0.25, 0.12) << e;  // four deviations
  const auto gshard = layer("gshard_top2");
  auto seconds = at::zeros({kTokens});
  for (int pass = 0; pass < 100; ++pass) seconds += weights(*gshard).gt(0).sum(1).eq(2);
  const auto pair = std::get<0>(at::softmax(gshard->forward(tokens()).plan.scores.detach(), 1).topk(2, 1));
  const auto kept = (2 * pair.select(1, 1) / pair.sum(1)).clamp_max(1);
  EXPECT_LT((seconds / 100 - kept).abs().max().item<double>(), 0.2);  // four deviations of a share of 100
}

TEST(LayerDraws, OfTwoLayersDiffer) {
  EXPECT_FALSE(weights(*layer("random_per_token", 1)).equal(weights(*layer("random_per_token", 2))));
}

TEST(LayerDraws, OfTrainingDoNotDependOnEvaluations) {
  const auto one = layer("random_per_token"), two = layer("random_per_token");
  const auto evaluated = [](gw::Mixture& layer) {
    layer.eval();
    const auto w = weights(layer);
    layer.train();
    return w;
  };
  EXPECT_FALSE(evaluated(*one).equal(evaluated(*one)));  // "random" draws in evaluation too
  EXPECT_TRUE(weights(*one).equal(weights(*two)));
}

TEST(LayerDraws, GoOnAfterSavingAndStartAgain) {
  const auto one = layer("random_per_token"), two = layer("random_per_token");
  const auto first = weights(*one);
  weights(*one);
  std::stringstream file;
  torch::save(one, file);
  torch::load(two, file);
  EXPECT_EQ(two->draws().passes(true), 2u);
  EXPECT_TRUE(weights(*two).equal(weights(*one)));
  one->draws().restart(gw::Rng(3).fork("draws"));
  EXPECT_TRUE(weights(*one).equal(first));
  one->draws().restart(gw::Rng(4));
  EXPECT_FALSE(weights(*one).equal(first));
}

}  // namespace gw::test::draws_cases
