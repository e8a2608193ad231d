#include "ops/quantised.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "kernels/moe_ffn/family.h"
#include "ops/random.h"

namespace {

using gw::ops::FfnWeights;

at::Tensor normal(uint64_t seed, std::vector<int64_t> shape) { return gw::ops::normal(gw::Rng(seed), std::move(shape), 0, 1); }

TEST(Quantise, CodesAreNearest) {
  const auto w = normal(1, {2, 5, 150});
  for (const int64_t bits : {4, 8}) {
    for (const int64_t group : {0, 64}) {
      const auto q = gw::ops::quantise(w, bits, group);
      const auto step = q.scales.abs().repeat_interleave(q.group, 2).narrow(2, 0, 150);
      // Half a step everywhere; a whole one where 4 bits clamp the value opposite to the largest (8 steps, 7 codes).
      EXPECT_LE(((gw::ops::dequantise(q) - w).abs() / step).max().item<double>(), bits == 8 ? 0.5001 : 1.0001) << bits << " bits, group " << group;
      EXPECT_GE(q.codes.min().item<int64_t>(), bits == 8 ? -127 : -8);
      EXPECT_EQ(gw::ops::quantise(gw::ops::dequantise(q), bits, group).codes.equal(q.codes), true) << "quantising again changes nothing";
    }
  }
}

/// 40 tokens to 2 of 3 experts each; widths that are multiples of nothing.
struct Layer {
  at::Tensor x = normal(2, {40, 150}), weight = normal(3, {80});
  at::Tensor token;
  std::vector<int64_t> offsets{0, 40, 41, 80};
  FfnWeights w{normal(4, {3, 70, 150}) / 12, normal(5, {3, 70, 150}) / 12, normal(6, {3, 33, 70}) / 8, {}, normal(7, {3, 70}), normal(8, {3, 33})};
  Layer() {
    std::vector<int64_t> ids;
    for (int64_t t = 0; t < 40; ++t) ids.push_back(t);
    ids.push_back(7);
    for (int64_t t = 0; t < 39; ++t) ids.push_back(t + 1);
    token = at::tensor(ids, at::kLong);
  }
};

void expect_equal_to_dequantised(at::ScalarType type, int64_t bits, int64_t group) {
  const Layer l;
  const auto back = [&](const at::Tensor& w) { return gw::ops::dequantise(gw::ops::quantise(w, bits, group)).to(type); };
  const FfnWeights w{back(l.w.gate), back(l.w.up), back(l.w.down), {}, l.w.up_bias.to(type), l.w.down_bias.to(type)};
  const auto want = gw::ops::moe_ffn(l.x.to(type), l.token, l.offsets, l.weight, w);
  FfnWeights plain = l.w;
  if (type == at::kBFloat16) plain.up_bias = l.w.up_bias.to(type).to(at::kFloat), plain.down_bias = l.w.down_bias.to(type).to(at::kFloat);
  const auto q = gw::ops::quantise_ffn(plain, bits, group, type);
  EXPECT_TRUE(at::equal(gw::ops::moe_ffn_quantised(l.x.to(type), l.token, l.offsets, l.weight, q), want)) << bits << " bits, group " << group;
  EXPECT_LT(q.bytes(), 3 * 3 * 96 * 192 * bits / 8 * 3 / 2);
}

TEST(Quantised, EqualsDequantisedWeightsToTheBitAtEveryLevel) {
  for (const auto& level : gw::kernels::moe_ffn_family().levels()) {
    if (!level.available) continue;
    gw::kernels::moe_ffn_family().force(level.name);
    for (const int64_t bits : {4, 8}) expect_equal_to_dequantised(at::kFloat, bits, 0), expect_equal_to_dequantised(at::kFloat, bits, 64);
  }
  gw::kernels::moe_ffn_family().force("");
  for (const auto& level : gw::kernels::moe_ffn_bf16_family().levels()) {
    if (!level.available) continue;
    gw::kernels::moe_ffn_bf16_family().force(level.name);
    for (const int64_t bits : {4, 8}) expect_equal_to_dequantised(at::kBFloat16, bits, 0), expect_equal_to_dequantised(at::kBFloat16, bits, 64);
  }
  gw::kernels::moe_ffn_bf16_family().force("");
}

TEST(Quantised, SameBitsForAnySplit) {
  const Layer l;
  for (const int64_t bits : {4, 8}) {
    const auto q = gw::ops::quantise_ffn(l.w, bits, 64, at::kFloat);
    const auto part = [&](int64_t begin, int64_t n) {  // all to expert 1
      return gw::ops::moe_ffn_quantised(l.x.narrow(0, begin, n), at::arange(n, at::kLong), {0, 0, n, n}, l.weight.narrow(0, begin, n), q);
    };
    const auto whole = part(0, 40);
    for (const int64_t cut : {1, 14, 29}) EXPECT_TRUE(at::equal(at::cat({part(0, cut), part(cut, 40 - cut)}), whole));
  }
}

TEST(Quantised, MistakesAreNamed) {
  const Layer l;
  EXPECT_THROW(gw::ops::quantise(l.w.up, 5), gw::ValueError);
  EXPECT_THROW(gw::ops::quantise(l.w.up, 8, 32), gw::ValueError);
  EXPECT_THROW(gw::ops::quantise(l.w.up * NAN, 8), gw::ValueError);
  EXPECT_EQ(gw::ops::dequantise(gw::ops::quantise(at::zeros_like(l.w.up), 4)).abs().max().item<double>(), 0);
  auto q = gw::ops::quantise_ffn(l.w, 8, 0, at::kFloat);
  EXPECT_THROW(gw::ops::moe_ffn_quantised(l.x.to(at::kDouble), l.token, l.offsets, l.weight, q), gw::ValueError);
  EXPECT_THROW(gw::ops::moe_ffn_quantised(l.x.detach().requires_grad_(true), l.token, l.offsets, l.weight, q), gw::ValueError);
  q.level = "other";
  EXPECT_THROW(gw::ops::moe_ffn_quantised(l.x, l.token, l.offsets, l.weight, q), gw::ValueError);
}

}  // namespace
