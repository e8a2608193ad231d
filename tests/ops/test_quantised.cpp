#include <gtest/gtest.h>

#include "gatewright/base/error.h"
#include "gatewright/kernels/qgemm/family.h"
#include "gatewright/ops/quantised.h"
#include "gatewright/ops/random.h"

namespace gw::test::quantised_cases {

using gw::ops::FfnWeights;

at::Tensor normal(uint64_t seed, std::vector<int64_t> shape) {
  return gw::ops::normal(gw::Rng(seed), std::move(shape), 0, 1);
}

TEST(Quantise, CodesAreNearest) {
  const auto w = normal(1, {2, 5, 150});
  for (const int64_t bits : {4, 8}) {
    for (const int64_t group : {0, 64}) {
      const auto q = gw::ops::quantise(w, bits, group);
      const auto step = q.scales.abs().repeat_interleave(q.group, 2).narrow(2, 0, 150);
      // Half a step everywhere; a whole one where 4 bits clamp the value opposite to the largest (8 steps, 7
      // codes).
      EXPECT_LE(((gw::ops::dequantise(q) - w).abs() / step).max().item<double>(), bits == 8 ? 0.5001 : 1.0001)
          << bits << " bits, group " << group;
      EXPECT_GE(q.codes.min().item<int64_t>(), bits == 8 ? -127 : -8);
      EXPECT_EQ(gw::ops::quantise(gw::ops::dequantise(q), bits, group).codes.equal(q.codes), true)
          << "quantising again changes nothing";
    }
  }
}

/// 40 tokens to 2 of 3 experts each; widths that are multiples of nothing.
struct Layer {
  at::Tensor x = normal(2, {40, 150}), weight = normal(3, {80});
  at::Tensor token;
  std::vector<int64_t> offsets{0, 40, 41, 80};
  FfnWeights w{normal(4, {3, 70, 150}) / 12, normal(5, {3, 70, 150}) / 12,
               normal(6, {3, 33, 70}) / 8,   {},
               normal(7, {3, 70}),           normal(8, {3, 33})};
  Layer() {
    std::vector<int64_t> ids;
    for (int64_t t = 0; t < 40; ++t) ids.push_back(t);
    ids.push_back(7);
    for (int64_t t = 0; t < 39; ++t) ids.push_back(t + 1);
    token = at::tensor(ids, at::kLong);
  }
};

/// The layer in f64 with the weights that the codes stand for, and no rounding of x.
at::Tensor exact(const Layer& l, const at::Tensor& x, int64_t bits, int64_t group) {
  const auto back = [&](const at::Tensor& w) {
    return gw::ops::dequantise(gw::ops::quantise(w, bits, group)).to(at::kDouble);
  };
  const FfnWeights w{back(l.w.gate),
                     back(l.w.up),
                     back(l.w.down),
                     {},
                     l.w.up_bias.to(at::kDouble),
                     l.w.down_bias.to(at::kDouble)};
  return gw::ops::moe_ffn(x.to(at::kDouble), l.token, l.offsets, l.weight.to(at::kDouble), w);
}

double error_of(const at::Tensor& got, const at::Tensor& want) {
  return ((got.to(at::kDouble) - want).abs().max() / want.abs().max()).item<double>();
}

// A step is 2.7 deviations / 32639 (the largest of 128 normal values), its rounding error a root of 12th of
// that: 2.4e-5 of a value's deviation, three times (x twice, h once). The largest of 1300 outputs is four
// deviations, and so is the largest error: 4e-5 to 8e-5. With weights of 4 bits the step is 2.7 / 127, 257
// times that. bf16 rounds h and y to 2^-9.
TEST(Quantised, EqualsDequantisedWeightsToTheBitsOfTheRowsAtEveryLevel) {
  const Layer l;
  for (const auto& level : gw::kernels::qgemm_family().levels()) {
    if (!level.available) continue;
    gw::kernels::qgemm_family().force(level.name);
    for (const int64_t bits : {4, 8}) {
      for (const int64_t group : {0, 64, 128}) {
        const auto q = gw::ops::quantise_ffn(l.w, bits, group);
        for (const auto type : {at::kFloat, at::kBFloat16}) {
          const auto x = l.x.to(type);
          const auto got = gw::ops::moe_ffn_quantised(x, l.token, l.offsets, l.weight, q);
          const double rows = bits == 8 ? 1e-4 : 2e-2;
          EXPECT_LT(error_of(got, exact(l, x, bits, group)), type == at::kFloat ? rows : rows + 1e-2)
              << level.name << ", " << bits << " bits, group " << group;
        }
        EXPECT_LT(q.bytes(), 3 * 3 * 96 * 192 * bits / 8 * 3 / 2);
      }
    }
  }
  gw::kernels::qgemm_family().force("");
}

TEST(Quantised, LevelsGiveTheSameBits) {
  const Layer l;
  for (const int64_t bits : {4, 8}) {
    for (const int64_t group : {0, 64, 128}) {
      const auto q = gw::ops::quantise_ffn(l.w, bits, group);
      gw::kernels::qgemm_family().force("ref");
      const auto want = gw::ops::moe_ffn_quantised(l.x, l.token, l.offsets, l.weight, q);
      for (const auto& level : gw::kernels::qgemm_family().levels()) {
        if (!level.available) continue;
        gw::kernels::qgemm_family().force(level.name);
        EXPECT_TRUE(at::equal(gw::ops::moe_ffn_quantised(l.x, l.token, l.offsets, l.weight, q), want))
            << level.name << ", " << bits << " bits, group " << group;
      }
      gw::kernels::qgemm_family().force("");
    }
  }
}

/// The documented arithmetic for one expert, in tensors: blocks in fixed point (16 bits; 8 with weights of
/// 4), exact products, scales after each block.
at::Tensor fixed_product(const at::Tensor& x, const gw::ops::QuantisedWeight& w, int64_t expert) {
  const int64_t k = x.size(1);
  int64_t block = w.bits == 8 ? 512 : 128;
  const float largest = w.bits == 8 ? 32639 : 127;
  while (w.group < k && w.group % block != 0) block /= 2;
  auto y = at::zeros({x.size(0), w.codes.size(1)}, at::kDouble);
  for (int64_t first = 0; first < k; first += block) {
    const auto part = x.narrow(1, first, std::min(block, k - first));
    const auto most = part.abs().amax(1, true);
    const auto q = (part.to(at::kDouble) * (largest / most).to(at::kDouble)).round();
    const auto sums = at::matmul(q, w.codes[expert].narrow(1, first, part.size(1)).to(at::kDouble).t());
    y +=
        sums * (most / largest).to(at::kDouble) * w.scales[expert].select(1, first / w.group).to(at::kDouble);
  }
  return y;
}

TEST(Quantised, IsTheDocumentedArithmetic) {
  const auto x = normal(1, {20, 300}), up = normal(2, {2, 200, 300}), down = normal(3, {2, 24, 200});
  const FfnWeights w{{}, up, down, {}, {}, {}};
  for (const int64_t bits : {4, 8}) {
    for (const int64_t group : {0, 64, 128, 192}) {
      const auto got = gw::ops::moe_ffn_quantised(x, at::arange(20, at::kLong), {0, 9, 20}, at::ones({20}),
                                                  gw::ops::quantise_ffn(w, bits, group), {"identity"});
      const auto up_codes = gw::ops::quantise(up, bits, group),
                 down_codes = gw::ops::quantise(down, bits, group);
      const auto one = [&](int64_t e, int64_t from, int64_t n) {
        return fixed_product(fixed_product(x.narrow(0, from, n), up_codes, e).to(at::kFloat), down_codes, e);
      };
      // A value of h next to the middle of two steps may go the other way: a step of one of 200 terms is
      // 1.5e-6 of the largest output, and rows with four such values were seen. Blocks of another size would
      // differ by 4e-5. Of rows in 8 bits everything is 257 times that.
      EXPECT_LT(error_of(got, at::cat({one(0, 0, 9), one(1, 9, 11)})), bits == 8 ? 1.5e-5 : 3e-3)
          << bits << " bits, group " << group;
    }
  }
}

// Panels of 16 or 32 rows share chunks of k: groups that divide a chunk, span several, or neither. The other
// factor is one identity-like expert.
TEST(Quantised, ManyRowsOverLongSumsAreTheDocumentedArithmetic) {
  const auto x = normal(1, {130, 1100}), up = normal(2, {1, 65, 1100}), down = at::zeros({1, 65, 65});
  for (int64_t i = 0; i < 65; ++i) down[0][i][i] = 1;
  const FfnWeights w{{}, up, down, {}, {}, {}};
  for (const int64_t bits : {4, 8}) {
    for (const int64_t group : {0, 64, 192, 384, 768, 832}) {
      const auto q = gw::ops::quantise_ffn(w, bits, group);
      const auto codes = gw::ops::quantise(up, bits, group);
      at::Tensor first;
      for (const auto& level : gw::kernels::qgemm_family().levels()) {
        if (!level.available) continue;
        gw::kernels::qgemm_family().force(level.name);
        const auto got = gw::ops::moe_ffn_quantised(x, at::arange(130, at::kLong), {0, 130}, at::ones({130}),
                                                    q, {"identity"});
        if (!first.defined()) first = got;
        EXPECT_TRUE(at::equal(got, first)) << level.name << ", " << bits << " bits, group " << group;
      }
      gw::kernels::qgemm_family().force("");
      // h is rounded once more on its way through `down`: half a step of 1 / 127 or 1 / 32639 of the largest
      // value, and of 4 bits by its codes of 1 = -8 · -1/8.
      EXPECT_LT(error_of(first, fixed_product(x, codes, 0)), bits == 8 ? 2e-5 : 4.1e-3)
          << bits << " bits, group " << group;
    }
  }
}

TEST(Quantised, RowsThatAreNotFiniteStayAlone) {
  const Layer l;
  const auto q = gw::ops::quantise_ffn(l.w, 8, 64);
  const auto clean = gw::ops::moe_ffn_quantised(l.x, l.token, l.offsets, l.weight, q);
  auto x = l.x.clone();
  x[3][140] = INFINITY, x[20][0] = NAN;
  const auto got = gw::ops::moe_ffn_quantised(x, l.token, l.offsets, l.weight, q);
  for (int64_t t = 0; t < 40; ++t) {
    if (t == 3 || t == 20)
      EXPECT_TRUE(got[t].isnan().all().item<bool>()) << t;
    else
      EXPECT_TRUE(at::equal(got[t], clean[t])) << t;
  }
  EXPECT_TRUE(at::equal(gw::ops::moe_ffn_quantised(l.x * 0, l.token, l.offsets, l.weight, q),
                        gw::ops::moe_ffn_quantised(l.x * 1e-38, l.token, l.offsets, l.weight, q)))
      << "blocks below 1e-30 count as zero";
}

TEST(Quantised, SameBitsForAnySplit) {
  const Layer l;
  for (const int64_t bits : {4, 8}) {
    const auto q = gw::ops::quantise_ffn(l.w, bits, 64);
    const auto part = [&](int64_t begin, int64_t n) {  // all to expert 1
      return gw::ops::moe_ffn_quantised(l.x.narrow(0, begin, n), at::arange(n, at::kLong), {0, 0, n, n},
                                        l.weight.narrow(0, begin, n), q);
    };
    const auto whole = part(0, 40);
    for (const int64_t cut : {1, 14, 29})
      EXPECT_TRUE(at::equal(at::cat({part(0, cut), part(cut, 40 - cut)}), whole));
  }
}

// From 256 rows on, x is put into fixed point once per token and copied: parts of the batch stay below that.
TEST(Quantised, SameBitsWhereTokensHaveManyRows) {
  const Layer l;
  const auto x = normal(9, {100, 150}), weight = normal(10, {300});
  for (const int64_t bits : {4, 8}) {
    const auto q = gw::ops::quantise_ffn(l.w, bits, 64);
    const auto part = [&](int64_t begin, int64_t n) {  // every token to all three experts, in falling order
      const auto token = at::arange(n, at::kLong).flip(0).repeat({3});
      const auto w = weight.view({3, 100}).narrow(1, begin, n).flip(1).reshape({-1});
      return gw::ops::moe_ffn_quantised(x.narrow(0, begin, n), token, {0, n, 2 * n, 3 * n}, w, q);
    };
    EXPECT_TRUE(at::equal(at::cat({part(0, 37), part(37, 63)}), part(0, 100))) << bits << " bits";
  }
}

TEST(Quantised, MistakesAreNamed) {
  const Layer l;
  EXPECT_THROW(gw::ops::quantise(l.w.up, 5), gw::ValueError);
  EXPECT_THROW(gw::ops::quantise(l.w.up, 8, 32), gw::ValueError);
  EXPECT_THROW(gw::ops::quantise(l.w.up * NAN, 8), gw::ValueError);
  EXPECT_EQ(gw::ops::dequantise(gw::ops::quantise(at::zeros_like(l.w.up), 4)).abs().max().item<double>(), 0);
  const auto q = gw::ops::quantise_ffn(l.w, 8, 0);
  EXPECT_THROW(gw::ops::moe_ffn_quantised(l.x.to(at::kDouble), l.token, l.offsets, l.weight, q),
               gw::ValueError);
  EXPECT_THROW(gw::ops::moe_ffn_quantised(l.x.detach().requires_grad_(true), l.token, l.offsets, l.weight, q),
               gw::ValueError);
}

}  // namespace gw::test::quantised_cases
