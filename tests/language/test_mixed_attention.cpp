// Attention of experts against one head of one slot of one token at a time, gradients included.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/base/error.h"
#include "gatewright/language/blocks/mixed_attention.h"
#include "gatewright/language/decoder.h"
#include "gatewright/ops/random.h"

namespace gw::test::mixed_attention_cases {

constexpr int64_t kWidth = 10, kHeads = 3, kHead = 4, kExperts = 5;

MixedAttentionOptions usual(int64_t k) {
  MixedAttentionOptions o;
  o.width = kWidth, o.heads = kHeads, o.head_width = kHead;
  o.experts.experts = kExperts, o.experts.output_bias = true;
  o.experts.policy = {"top_k_softmax", {{"k", k}}};
  o.rotary.base = 100, o.site = "here";
  return o;
}

struct Call {
  RouterInputs inputs;
  Pass pass;
  std::vector<SitedPlan> plans;
  SequenceRows rows;
  at::Tensor operator()(MixedAttention& block, const at::Tensor& x, std::vector<int64_t> lengths,
                        std::vector<DecoderState*> states = {}) {
    std::vector<at::Tensor> place;
    for (size_t i = 0; i < lengths.size(); ++i) {
      if (!states.empty()) states[i]->layers.resize(1);
      const int64_t before = states.empty() ? 0 : states[i]->length();
      place.push_back(at::arange(before, before + lengths[i], at::kLong));
    }
    rows = {lengths, states, block.rotary().angles(at::cat(place), 100)};
    Decisions decisions{pass, inputs, plans};
    return block.forward(x, rows, 0, decisions);
  }
};

at::Tensor plain(const MixedAttention& block, const at::Tensor& x, int64_t k) {
  const auto p = block.named_parameters();
  const auto n = x.size(0);
  const auto angles = block.rotary().angles(at::arange(n, at::kLong), n);
  const auto heads = [&](const at::Tensor& t) {
    return block.rotary().rotate(t.view({n, kHeads, kHead}), angles);
  };
  const auto key = heads(at::matmul(x, p["key.weight"].t()));
  const auto value = at::matmul(x, p["value.weight"].t()).view({n, kHeads, kHead});
  const auto logits = at::matmul(x.to(p["gate.weight"].scalar_type()), p["gate.weight"].t());
  std::vector<at::Tensor> all;
  for (int64_t t = 0; t < n; ++t) {
    const auto [top, which] = logits[t].topk(k);
    const auto weight = at::softmax(top, 0);
    auto y = p["bias"];
    for (int64_t j = 0; j < k; ++j) {
      const auto e = which[j].item<int64_t>();
      const auto q = heads(at::matmul(x, p["wq"][e].t()))[t];
      std::vector<at::Tensor> seen;
      for (int64_t h = 0; h < kHeads; ++h) {
        const auto score = at::matmul(key.narrow(0, 0, t + 1).select(1, h), q[h]) / std::sqrt(double{kHead});
        seen.push_back(at::matmul(at::softmax(score, 0), value.narrow(0, 0, t + 1).select(1, h)));
      }
      y = y + weight[j] * at::matmul(p["wo"][e], at::cat(seen));
    }
    all.push_back(y);
  }
  return at::stack(all);
}

TEST(MixedAttention, IsTheFormulaWithItsGradients) {
  for (const int64_t k : {1, 2, 4}) {
    MixedAttention block(usual(k), Rng(3), true);
    block.to(torch::kDouble);
    for (auto& p : block.parameters())
      if (p.dim() == 1) at::NoGradGuard(), p.data().copy_(ops::normal(Rng(9), p.sizes(), 0, 1));
    const auto x = ops::normal(Rng(4), {9, kWidth}, 0, 1).to(at::kDouble).set_requires_grad(true);
    const auto to = ops::normal(Rng(5), {9, kWidth}, 0, 1).to(at::kDouble);
    const auto gradients = [&](const at::Tensor& y) {
      block.zero_grad();
      if (x.grad().defined()) x.mutable_grad().zero_();
      (y * to).sum().backward();
      std::vector<at::Tensor> all{x.grad().clone()};
      for (const auto& p : block.parameters()) all.push_back(p.grad().clone());
      return all;
    };
    Call call;
    const auto y = call(block, x, {9}), expected = plain(block, x, k);
    EXPECT_LE((y - expected).abs().max().item<double>(), 1e-6) << k;  // the gate is f32
    ASSERT_EQ(call.plans.size(), 1);
    EXPECT_EQ(call.plans[0].site, "here");
    EXPECT_EQ(call.plans[0].plan.rows(), 9 * k);
    const auto ours = gradients(y), theirs = gradients(expected);
    for (size_t i = 0; i < ours.size(); ++i)
      EXPECT_LE((ours[i] - theirs[i]).abs().max().item<double>(), 1e-5) << "k " << k << ", input " << i;
  }
}

// Rows of a text have the same bits alone, beside others, and whatever is read at once.
TEST(MixedAttention, TextsHaveTheirBits) {
  const at::NoGradGuard no_grad;
  MixedAttention block(usual(2), Rng(3), true);
  block.eval();
  const auto a = ops::normal(Rng(6), {7, kWidth}, 0, 1), b = ops::normal(Rng(7), {12, kWidth}, 0, 1);
  const auto alone = Call()(block, a, {7});
  EXPECT_TRUE(at::equal(Call()(block, at::cat({b, a}), {12, 7}).narrow(0, 12, 7), alone));
  DecoderState state;
  Call()(block, a.narrow(0, 0, 3), {3}, {&state});
  const auto rest = Call()(block, a.narrow(0, 3, 4), {4}, {&state});
  EXPECT_LE((rest - alone.narrow(0, 3, 4)).abs().max().item<double>(), 1e-5);
}

TEST(MixedAttention, CodesStayNear) {
  const at::NoGradGuard no_grad;
  MixedAttention block(usual(2), Rng(3), true);
  const auto x = ops::normal(Rng(6), {7, kWidth}, 0, 1);
  const auto before = Call()(block, x, {7});
  block.hold(8, 64);
  EXPECT_GT(block.held_bytes(), 0);
  EXPECT_LE((Call()(block, x, {7}) - before).abs().max().item<double>(), 0.05);
}

TEST(MixedAttention, EveryTokenWantsAsManyExperts) {
  auto o = usual(2);
  o.experts.policy = {"expert_choice", Json::object()};
  MixedAttention block(o, Rng(3), true);
  EXPECT_THROW(Call()(block, ops::normal(Rng(6), {7, kWidth}, 0, 1), {7}), ValueError);
}

TEST(MixedAttention, ADecoderTrainsWithIt) {
  DecoderOptions options;
  const Json table = {
      {"vocabulary", 20},
      {"width", 12},
      {"depth", 2},
      {"heads", 2},
      {"attention_experts",
       {{"experts", 4}, {"policy", {{"part", "top_k_softmax"}, {"k", 2}}}, {"balancers", {"switch_loss"}}}}};
  parse_options("decoder", table, options);
  Decoder decoder(options);
  const auto ids = ops::uniform(Rng(1), {11}, 0, 20).to(at::kLong);
  const auto answer = decoder.forward({ids, {11}});
  ASSERT_EQ(answer.plans.size(), 2);
  EXPECT_EQ(answer.plans[1].site, "layer1.attention");
  EXPECT_FALSE(answer.plans[1].plan.aux.empty());
  answer.logits.square().mean().backward();
  for (const auto& item : decoder.named_parameters())
    EXPECT_TRUE(item.value().grad().defined()) << item.key();
  options.window = 3;
  EXPECT_THROW(Decoder{options}, ValueError);
}

}  // namespace gw::test::mixed_attention_cases
