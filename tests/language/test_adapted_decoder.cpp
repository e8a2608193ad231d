// Decoders that are held still and corrected by mixtures of adapters: formula, gradients, what is trained.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/base/error.h"
#include "gatewright/language/decoder.h"
#include "gatewright/ops/random.h"

namespace gw::test::adapted_decoder_cases {

const Json kAdapters{{"experts", 3},
                     {"gate", "adamole"},
                     {"policy", "adamole"},
                     {"bank", {{"part", "lora"}, {"rank", 2}}},
                     {"balancers", {"switch_loss"}}};

DecoderOptions small(const Json& adapters, const Json& more = Json::object()) {
  Json table = {{"vocabulary", 20}, {"width", 8}, {"depth", 2}, {"heads", 2}, {"adapters", adapters}};
  table.update(more);
  DecoderOptions options;
  parse_options("decoder", table, options);
  return options;
}

at::Tensor text(int64_t n, uint64_t seed) { return ops::uniform(Rng(seed), {n}, 0, 20).to(at::kLong); }

bool adapter(const std::string& name) { return name.find("adapters") != std::string::npos; }

/// The corrections start at zero: values for them.
void draw_corrections(Decoder& decoder) {
  const at::NoGradGuard no_grad;
  for (auto& item : decoder.named_parameters())
    if (item.key().find(".bank.up") != std::string::npos)
      item.value().copy_(ops::normal(Rng(3).fork(item.key()), item.value().sizes(), 0, 0.3));
}

TEST(Projection, AddsItsAdapters) {
  Projection projection(5, 4, true, Rng(1), true);
  projection.to(torch::kDouble);
  const auto x = ops::normal(Rng(2), {6, 5}, 0, 1).to(at::kDouble);
  const auto plain = projection.forward(x);
  projection.adapt({{"experts", 1},
                    {"policy", {{"part", "softmax_top_k"}, {"k", 1}}},
                    {"bank", {{"part", "lora"}, {"rank", 2}, {"alpha", 6}}}},
                   Rng(4), "here");
  projection.to(torch::kDouble);
  Pass pass;
  RouterInputs inputs;
  std::vector<SitedPlan> plans;
  Decisions decisions{pass, inputs, plans};
  EXPECT_TRUE(at::equal(projection.forward(x, decisions), plain));
  const auto p = projection.named_parameters();
  const auto up = ops::normal(Rng(5), {1, 4, 2}, 0, 1).to(at::kDouble);
  at::NoGradGuard(), p["adapters.bank.up"].data().copy_(up);
  const auto expected = plain + at::matmul(at::matmul(x, p["adapters.bank.down"][0].t()), up[0].t()) * 3;
  EXPECT_LE((projection.forward(x, decisions) - expected).abs().max().item<double>(), 1e-6);
  ASSERT_EQ(plans.size(), 2);
  EXPECT_EQ(plans[1].site, "here");
}

// As the decoder without them until the first update, whatever the perceptron's form.
TEST(AdaptedDecoder, StartsAsTheDecoderThatItHoldsStill) {
  for (const Json& more :
       {Json::object(), Json{{"gated", false}, {"hidden_bias", true}, {"activation", "gelu"}},
        Json{{"positions", "relative"}, {"query_norm", "head"}, {"tied", true}}}) {
    Decoder base(small(Json::object(), more)), adapted(small(kAdapters, more));
    const auto of_base = base.named_parameters();
    size_t shared = 0;
    for (const auto& item : adapted.named_parameters()) {
      EXPECT_EQ(item.value().requires_grad(), adapter(item.key())) << item.key();
      const auto* same = of_base.find(item.key());
      if (same == nullptr) continue;
      EXPECT_TRUE(at::equal(*same, item.value())) << item.key();
      ++shared;
    }
    EXPECT_EQ(shared, of_base.size());  // the same names, so that it starts from that one's checkpoint
    const auto ids = text(9, 1);
    const auto answer = adapted.forward({ids, {9}});
    EXPECT_LE((answer.logits - base.forward({ids, {9}}).logits).abs().max().item<double>(), 1e-5);
    ASSERT_EQ(answer.plans.size(), 2 * (4 + (adapted.options().gated ? 3 : 2)));
    EXPECT_EQ(answer.plans[0].site, "layer0.attention.query");
    EXPECT_EQ(answer.plans.back().site, "layer1.dense.w2");
  }
}

TEST(AdaptedDecoder, GradientsAreThoseOfDifferences) {
  const Json adapters{{"experts", 3},
                      {"policy", {{"part", "softmax_top_k"}, {"k", 2}}},
                      {"bank", {{"part", "lora"}, {"rank", 2}}}};
  Decoder decoder(small(adapters));
  draw_corrections(decoder);
  decoder.to(torch::kDouble);
  const auto ids = text(7, 4);
  const auto weight = ops::normal(Rng(5), {7, 20}, 0, 1).to(at::kDouble);
  const auto loss = [&] { return (decoder.forward({ids, {7}}).logits.to(at::kDouble) * weight).sum(); };
  loss().backward();
  for (const auto& item : decoder.named_parameters()) {
    const auto gradient = item.value().grad();
    ASSERT_EQ(gradient.defined(), adapter(item.key())) << item.key();
    if (!gradient.defined() || item.key().find("gate.weight") != std::string::npos) continue;  // f32
    auto flat = item.value().detach().view({-1});
    const int64_t at = std::get<1>(gradient.reshape({-1}).abs().max(0)).item<int64_t>();
    const double value = flat[at].item<double>(), step = 1e-6;
    const at::NoGradGuard no_grad;
    flat[at] = value + step;
    const double above = loss().item<double>();
    flat[at] = value - step;
    const double below = loss().item<double>();
    flat[at] = value;
    const double expected = (above - below) / (2 * step), got = gradient.reshape({-1})[at].item<double>();
    EXPECT_NEAR(got, expected, 1e-5 * std::max(1.0, std::abs(expected))) << item.key();
  }
}

// Experts of perceptrons stay as they are: adapters beside their attention alone.
TEST(AdaptedDecoder, MixturesKeepTheirExperts) {
  const Json mixture{{"experts", 4},
                     {"policy", {{"part", "softmax_top_k"}, {"k", 2}}},
                     {"bank", {{"part", "mlp"}, {"hidden", 6}}}};
  Decoder decoder(small(kAdapters, {{"mixture", mixture}}));
  draw_corrections(decoder);
  const auto answer = decoder.forward({text(9, 1), {9}});
  EXPECT_EQ(answer.plans.size(), 2 * (4 + 1));
  answer.logits.square().sum().backward();
  for (const auto& item : decoder.named_parameters()) {
    EXPECT_EQ(item.value().grad().defined(), adapter(item.key())) << item.key();
    EXPECT_EQ(item.value().requires_grad(), adapter(item.key())) << item.key();
  }
  EXPECT_TRUE(decoder.options().chooses());
  EXPECT_FALSE(small(Json::object()).chooses());
}

TEST(AdaptedDecoder, RefusesWhatHasNoPlaceForThem) {
  EXPECT_THROW(Decoder(small({{"in", 8}})), ValueError);
  EXPECT_THROW(
      Decoder(small(kAdapters, {{"latent", 4}, {"still_width", 4}, {"turned_width", 2}, {"value_width", 4}})),
      ValueError);
  EXPECT_THROW(Decoder(small(kAdapters, {{"attention_experts", {{"experts", 3}}}})), ValueError);
}

}  // namespace gw::test::adapted_decoder_cases
