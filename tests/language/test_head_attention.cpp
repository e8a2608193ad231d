// Heads with tokens of their own against one head of one text at a time; with all tokens, plain attention.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/language/blocks/attention.h"
#include "gatewright/language/blocks/head_attention.h"
#include "gatewright/language/decoder.h"
#include "gatewright/language/text_encoder.h"
#include "gatewright/models/model.h"
#include "gatewright/ops/random.h"
#include "tests/support/gradcheck.h"
#include "tests/support/refusal.h"

namespace gw::test::head_attention_cases {

constexpr int64_t kWidth = 10, kHeads = 3, kHead = 4;

MixedAttentionOptions usual(double factor, bool rotated = true) {
  MixedAttentionOptions o;
  o.width = kWidth, o.heads = kHeads, o.head_width = kHead, o.rotated = rotated;
  o.experts.experts = kHeads, o.experts.heads = true;
  o.experts.policy = {"expert_choice",
                      {{"capacity_factor", factor}, {"room", "sequence"}, {"weight", "one"}}};
  o.rotary.base = 100, o.site = "here";
  return o;
}

struct Call {
  RouterInputs inputs;
  Pass pass;
  std::vector<SitedPlan> plans;
  at::Tensor operator()(AttentionBlock& block, const at::Tensor& x, const std::vector<int64_t>& lengths) {
    std::vector<at::Tensor> place, text;
    for (size_t i = 0; i < lengths.size(); ++i) {
      place.push_back(at::arange(lengths[i], at::kLong));
      text.push_back(at::full({lengths[i]}, static_cast<int64_t>(i), at::kLong));
    }
    inputs.sequence = at::cat(text);
    const SequenceRows rows{lengths, {}, block.rotary().angles(at::cat(place), 100)};
    Decisions decisions{pass, inputs, plans};
    return block.forward(x, rows, 0, decisions);
  }
};

/// One text: `taken` [H, n] tokens of each head in rising order.
at::Tensor plain(const HeadAttention& block, const at::Tensor& x, const at::Tensor& taken) {
  const auto p = block.named_parameters();
  auto y = at::zeros_like(x);
  for (int64_t h = 0; h < kHeads; ++h) {
    const auto own = x.index_select(0, taken[h]);
    const auto angles = block.rotary().angles(taken[h], 100);
    const auto turned = [&](const at::Tensor& w) {
      return block.rotary().rotate(at::matmul(own, w.t()).unsqueeze(1), angles).squeeze(1);
    };
    const auto q = turned(p["wq"][h]), k = turned(p["wk"][h]), v = at::matmul(own, p["wv"][h].t());
    const auto seen =
        at::matmul(at::softmax(at::matmul(q, k.t()) / std::sqrt(static_cast<double>(kHead)), 1), v);
    y = y.index_add(0, taken[h], at::matmul(seen, p["wo"][h].t()));
  }
  return y;
}

std::shared_ptr<HeadAttention> made(const MixedAttentionOptions& o) {
  auto block = std::make_shared<HeadAttention>(o, Rng(3), true);
  block->to(at::kDouble);
  return block;
}

at::Tensor tokens(int64_t n) { return ops::normal(Rng(8), {n, kWidth}, 0, 1).to(at::kDouble); }

TEST(HeadAttention, IsOneHeadAtATime) {
  const auto block = made(usual(1.5));
  const auto x = tokens(8);
  const auto scores = at::matmul(x, block->named_parameters()["gate.weight"].to(at::kDouble).t());
  const auto taken = std::get<0>(std::get<1>(at::log_softmax(scores, 1).t().topk(4, 1)).sort(1));
  Call call;
  const auto y = call(*block, x, {8});
  EXPECT_LE((y - plain(*block, x, taken)).abs().max().item<double>(), 1e-10);
  ASSERT_EQ(call.plans.size(), 1);
  EXPECT_EQ(call.plans[0].site, "here");
  EXPECT_EQ(call.plans[0].plan.rows(), 12) << "half of the tokens in each of three heads";
}

TEST(HeadAttention, TextsDoNotSeeEachOther) {
  const auto block = made(usual(1.5));
  const auto x = tokens(11);
  Call all;
  const auto y = all(*block, x, {6, 5});
  for (const auto& [first, count] : std::vector<std::pair<int64_t, int64_t>>{{0, 6}, {6, 5}}) {
    Call one;
    EXPECT_LE((y.narrow(0, first, count) - one(*block, x.narrow(0, first, count), {count}))
                  .abs()
                  .max()
                  .item<double>(),
              1e-12);
  }
}

/// The equivalent decomposition: queries, keys and values by rows, answers by columns.
TEST(HeadAttention, AllTokensInAllHeadsArePlainAttention) {
  for (const bool rotated : {true, false}) {
    const auto block = made(usual(kHeads, rotated));
    AttentionOptions o;
    o.width = kWidth, o.heads = o.key_heads = kHeads, o.head_width = kHead, o.causal = false;
    o.rotated = rotated, o.rotary.base = 100;
    Attention whole(o, Rng(4), true);
    whole.to(at::kDouble);
    const at::NoGradGuard no_grad;
    auto to = block->named_parameters();
    const auto from = whole.named_parameters();
    for (const auto& [own, theirs] : {std::pair{"wq", "query"}, {"wk", "key"}, {"wv", "value"}})
      to[own].copy_(from[std::string(theirs) + ".weight"].view({kHeads, kHead, kWidth}));
    to["wo"].copy_(from["output.weight"].view({kWidth, kHeads, kHead}).transpose(0, 1));
    Call call, other;
    const auto x = tokens(9);
    EXPECT_LE((call(*block, x, {4, 5}) - other(whole, x, {4, 5})).abs().max().item<double>(), 1e-10);
  }
}

TEST(HeadAttention, GradientsAreThoseOfDifferences) {
  auto o = usual(1.5);
  o.experts.policy.options["weight"] = "probability";  // a straight-through gradient is no difference
  o.experts.output_bias = true;
  const auto block = made(o);
  std::vector<at::Tensor> inputs{tokens(7)};
  const auto parameters = block->parameters();
  const auto value = [&](const at::Tensor& x) {
    Call call;
    return project({call(*block, x, {4, 3})});
  };
  EXPECT_LE(
      gradient_error([&](const std::vector<at::Tensor>& in) { return std::vector{value(in[0])}; }, inputs),
      1e-6);
  const auto analytic = torch::autograd::grad({value(inputs[0])}, parameters);
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto gradient = analytic[i].contiguous();
    if (parameters[i].scalar_type() != at::kDouble) continue;
    for (int64_t j = 0; j < parameters[i].numel(); j += std::max<int64_t>(1, parameters[i].numel() / 6))
      EXPECT_LE(difference_error(parameters[i].data_ptr<double>()[j], gradient.data_ptr<double>()[j],
                                 [&] { return value(inputs[0]).item<double>(); }),
                1e-6)
          << i << " " << j;
  }
}

TEST(HeadAttention, RefusesWhatItCannotDo) {
  auto o = usual(1);
  o.experts.experts = 2;
  expect_part(refusal<ValueError>([&] { HeadAttention(o, Rng(1), true); }),
              "an expert for each of 3 heads, got 2");
  const auto block = made(usual(1));
  EXPECT_NE(refusal([&] { block->hold(8, 64); }), "accepted");
  DecoderOptions all;
  all.vocabulary = 5, all.width = 8, all.depth = 1, all.heads = 2;
  all.attention_experts.read("a test", {{"experts", 2}, {"heads", true}, {"policy", "expert_choice"}});
  expect_part(refusal<ValueError>([&] { Decoder decoder(all); }), "depends on those that follow");
}

std::shared_ptr<Model> classifier(const Json& options) {
  Model::Context context;
  context.data.vocabulary = 20, context.data.context = 6, context.data.domains = 2;
  context.answer = {3, false}, context.seed = 5;
  Json all{{"width", 8}, {"depth", 2}, {"heads", 2}, {"hidden", 12}};
  all.update(options);
  auto model = make_part<Model>("text_classifier", all, context);
  model->eval();
  return model;
}

TEST(TextClassifier, ATextAmongOthersHasTheAnswerThatItHasAlone) {
  const Json choice{
      {"part", "expert_choice"}, {"capacity_factor", 1}, {"room", "sequence"}, {"weight", "one"}};
  const auto model = classifier(
      {{"attention_experts", {{"experts", 2}, {"heads", true}, {"policy", choice}}},
       {"mixture", {{"experts", 4}, {"policy", choice}, {"bank", {{"part", "mlp"}, {"hidden", 3}}}}}});
  EXPECT_TRUE(model->routed());
  const at::NoGradGuard no_grad;
  const auto batch = model->example(5, Rng(2));
  const auto all = model->answer(batch, {});
  ASSERT_EQ(all.answer.sizes(), (std::vector<int64_t>{5, 3}));
  EXPECT_EQ(all.plans.size(), 4);
  for (int64_t i = 0; i < 5; ++i) {
    Batch one;
    one.fields["token"] = batch.at("token").narrow(0, i, 1), one.index = batch.index.narrow(0, i, 1);
    EXPECT_LE((model->answer(one, {}).answer[0] - all.answer[i]).abs().max().item<double>(), 1e-6) << i;
  }
  auto bad = batch;
  bad.fields["token"] = batch.at("token").reshape({-1});
  expect_part(refusal<ValueError>([&] { model->answer(bad, {}); }), "expected tokens [B, T]");
}

}  // namespace gw::test::head_attention_cases
