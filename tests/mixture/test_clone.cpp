// Copies of a layer: the same answers, nothing shared.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/cloneable.h>

#include "gatewright/base/registry.h"
#include "gatewright/mixture/mixture.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/load.h"

namespace gw::test::clone_cases {

gw::Json everything() {
  return {{"experts", 4},
          {"in", 6},
          {"seed", 3},
          {"shared_experts", 1},
          {"shared_gate", true},
          {"output_bias", true},
          {"gate", {{"part", "linear"}, {"bias", true}}},
          {"policy", {{"part", "softmax_top_k"}, {"k", 2}, {"selection_bias", true}, {"noise", 4.0}}},
          {"balancers", {R"({"part": "bias_update", "rate": 0.5})", "relu_l1", "switch_loss"}}};
}

at::Tensor tokens(uint64_t seed = 1) { return gw::ops::normal(gw::Rng(seed), {32, 6}, 0, 1); }

std::shared_ptr<gw::Mixture> trained() {
  auto layer = gw::Mixture::from_json(everything());
  const at::NoGradGuard no_grad;
  for (auto& p : layer->parameters()) p.add_(gw::ops::normal(gw::Rng(7), p.sizes(), 0, 0.3));
  for (uint64_t step = 0; step < 3; ++step) layer->forward(tokens(step)), layer->end_step();
  return layer;
}

std::shared_ptr<gw::Mixture> copied(const gw::Mixture& layer) {
  return std::dynamic_pointer_cast<gw::Mixture>(layer.clone());
}

void expect_equal(gw::Mixture& a, gw::Mixture& b) {
  const auto check = [](const auto& mine, const auto& theirs) {
    ASSERT_EQ(mine.size(), theirs.size());
    for (const auto& item : mine) {
      EXPECT_TRUE(item.value().equal(theirs[item.key()])) << item.key();
      EXPECT_EQ(item.value().requires_grad(), theirs[item.key()].requires_grad()) << item.key();
      EXPECT_NE(item.value().data_ptr(), theirs[item.key()].data_ptr()) << item.key();
    }
  };
  check(a.named_parameters(), b.named_parameters()), check(a.named_buffers(), b.named_buffers());
}

TEST(Clone, AnswersAsTheOriginalAndSharesNothing) {
  const auto layer = trained();
  layer->named_parameters()["bank.b2"].set_requires_grad(false);
  const auto copy = copied(*layer);
  ASSERT_NE(copy, nullptr);
  expect_equal(*layer, *copy);
  EXPECT_GT(copy->named_buffers()["policy_selection_bias"].abs().sum().item<double>(), 0);
  for (uint64_t pass = 0; pass < 3; ++pass)
    EXPECT_TRUE(layer->forward(tokens()).y.equal(copy->forward(tokens()).y)) << pass;  // draws too
  const auto before = copy->forward(tokens(), gw::Rng(1)).y;
  const at::NoGradGuard no_grad;
  for (auto& p : layer->parameters()) p.add_(1);
  for (auto& item : layer->named_buffers()) item.value().add_(1);
  EXPECT_TRUE(copy->forward(tokens(), gw::Rng(1)).y.equal(before));
}

TEST(Clone, ItsControllersMoveItsOwnBias) {
  const auto layer = trained();
  layer->forward(tokens());  // a pass of the step that is under way
  const auto copy = copied(*layer);
  const auto bias = [](gw::Mixture& m) { return m.named_buffers()["policy_selection_bias"].clone(); };
  const auto before = bias(*layer);
  copy->end_step();
  EXPECT_TRUE(bias(*layer).equal(before));
  const auto moved = bias(*copy);
  EXPECT_FALSE(moved.equal(before));
  layer->end_step();
  EXPECT_TRUE(bias(*layer).equal(moved));
}

TEST(Clone, KeepsTypesAndModes) {
  const auto layer = trained();
  layer->to(at::kBFloat16);
  layer->eval();
  layer->bank().train();
  const auto copy = copied(*layer);
  expect_equal(*layer, *copy);
  EXPECT_FALSE(copy->is_training());
  EXPECT_FALSE(copy->gate().is_training());
  EXPECT_TRUE(copy->bank().is_training());
  EXPECT_EQ(copy->named_buffers()["policy_selection_bias"].scalar_type(), at::kFloat);
  EXPECT_TRUE(copy->forward(tokens().to(at::kBFloat16), gw::Rng(1))
                  .y.equal(layer->forward(tokens().to(at::kBFloat16), gw::Rng(1)).y));
}

TEST(Clone, ForEveryBankAndPolicy) {
  for (const auto* kind : {"banks", "policies"}) {
    for (const auto& part : gw::Registry::instance().list(kind)) {
      const bool conv = part.name == "conv";
      gw::Json json{{"experts", 4},
                    {"in", 6},
                    {"gate",
                     {{"part", conv                     ? "pooled_linear"
                               : part.name == "adamole" ? "adamole"
                                                        : "linear"}}}};
      json[kind == std::string("banks") ? "bank" : "policy"] = {{"part", part.name}};
      const auto layer = gw::Mixture::from_json(json);
      const at::NoGradGuard no_grad;
      for (auto& p : layer->parameters()) p.mul_(1.5);
      expect_equal(*layer, *copied(*layer));
    }
  }
}

/// What a user's model looks like.
class Block : public torch::nn::Cloneable<Block> {
 public:
  Block() { reset(); }
  void reset() override { layer = register_module("layer", gw::Mixture::from_json(everything())); }
  std::shared_ptr<gw::Mixture> layer;
};

TEST(Clone, WorksInsideACloneableModule) {
  Block block;
  const at::NoGradGuard no_grad;
  for (auto& p : block.parameters()) p.mul_(1.5);
  const auto copy = std::dynamic_pointer_cast<Block>(block.clone());
  ASSERT_NE(copy, nullptr);
  expect_equal(*block.layer, *copy->layer);
}

}  // namespace gw::test::clone_cases
