// Weights in blocks of a file: what they multiply to, against the values that they stand for.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>

#include "gatewright/base/error.h"
#include "gatewright/kernels/block_gemm/family.h"
#include "gatewright/ops/block_weights.h"
#include "gatewright/ops/dense.h"
#include "gatewright/ops/random.h"

namespace gw::test::block_weights_cases {

using ops::BlockType;
using ops::CodedFfn;
using ops::CodedMatrix;
using ops::FewBits;

/// A file of ours: codes a byte each, then scales and minima as multiples of 1/4096, a byte each.
template <const BlockType& type>
void read_plain(const uint8_t* block, uint8_t* u, float* scales, float* minima) {
  const int64_t groups = type.values / type.group;
  for (int64_t i = 0; i < type.values; ++i) u[i] = type.bits == 4 ? block[i] & 15 : block[i];
  for (int64_t g = 0; g < groups; ++g) {
    scales[g] = static_cast<float>(block[type.values + g]) / 4096;
    if (type.minimum) minima[g] = static_cast<float>(block[type.values + groups + g]) / -4096;
  }
}

extern const BlockType kFour, kFourShifted, kEight, kSixteen;
const BlockType kFour{"four", 32, 33, 4, 32, false, 8, read_plain<kFour>};
const BlockType kFourShifted{"four_shifted", 64, 68, 4, 32, true, 0, read_plain<kFourShifted>};
const BlockType kEight{"eight", 32, 33, 8, 32, false, 128, read_plain<kEight>};
const BlockType kSixteen{"sixteen", 64, 68, 8, 16, false, 32, read_plain<kSixteen>};

CodedMatrix drawn(const BlockType& type, uint64_t seed, int64_t out, int64_t in) {
  CodedMatrix m;
  m.form = FewBits::blocks, m.type = &type, m.out = out;
  m.codes = ops::uniform(Rng(seed), {out, in / type.values, type.bytes}, 0, 256).to(at::kByte);
  return m;
}

/// Whole numbers with the largest q in every block: fixed point is exact.
at::Tensor exact_rows(uint64_t seed, int64_t rows, int64_t in, int64_t bits) {
  const double most = bits == 4 ? 127 : 32639;
  auto x = ops::uniform(Rng(seed), {rows, in}, -most, most).round();
  x.view({rows, in / 32, 32}).select(2, 5).fill_(most);
  return x;
}

class EachType : public testing::TestWithParam<const BlockType*> {};
std::string shown_type(const testing::TestParamInfo<const BlockType*>& one) { return one.param->name; }
INSTANTIATE_TEST_SUITE_P(Types, EachType, testing::Values(&kFour, &kFourShifted, &kEight, &kSixteen),
                         shown_type);

TEST_P(EachType, ProductsAreThoseOfTheValuesWhereRowsAreExact) {
  const auto m = drawn(*GetParam(), 1, 70, 192);
  const auto values = ops::coded_values(m).to(at::kDouble), bias = ops::normal(Rng(2), {70}, 0, 1);
  const auto w = ops::dense_coded(m, bias);
  for (const int64_t n : {1, 5, 7, 300}) {
    const auto x = exact_rows(3, n, 192, GetParam()->bits);
    const auto want = x.to(at::kDouble).mm(values.t()) + bias;
    const auto off = (ops::dense(x, w) - want).abs().max().item<double>();
    EXPECT_LE(off, 1e-5 * want.abs().max().item<double>()) << n << " rows";
  }
}

TEST_P(EachType, RoundingRowsCostsWhatItSays) {
  const auto m = drawn(*GetParam(), 1, 70, 192);
  const auto values = ops::coded_values(m).to(at::kDouble), x = ops::normal(Rng(4), {40, 192}, 0, 1);
  // Each of 192 factors is off by half a step of its block at most.
  const auto largest =
      x.abs().view({40, 6, 32}).amax(2).to(at::kDouble) / (GetParam()->bits == 4 ? 254 : 65278);
  const auto bound = largest.repeat_interleave(32, 1).mm(values.abs().t());
  const auto off = (ops::dense(x, ops::dense_coded(m, {})) - x.to(at::kDouble).mm(values.t())).abs();
  EXPECT_LE((off - bound).max().item<double>(), 1e-5);
  EXPECT_GT(off.max().item<double>(), 0);
}

TEST_P(EachType, ARowHasItsBitsAloneAtEveryLevelAndInBf16) {
  const auto w = ops::dense_coded(drawn(*GetParam(), 1, 70, 192), ops::normal(Rng(2), {70}, 0, 1));
  const auto x = ops::normal(Rng(4), {140, 192}, 0, 1);
  const auto all = ops::dense(x, w);
  for (const int64_t row : {0, 77, 139})
    EXPECT_TRUE(at::equal(ops::dense(x.narrow(0, row, 1), w)[0], all[row]));
  const auto rounded = x.to(at::kBFloat16);
  EXPECT_TRUE(at::equal(ops::dense(rounded, w), ops::dense(rounded.to(at::kFloat), w).to(at::kBFloat16)));
  kernels::block_gemm_family().force("ref");
  EXPECT_TRUE(at::equal(ops::dense(x, w), all));
  kernels::block_gemm_family().force("");
}

/// 40 tokens to 2 of 3 experts each, one of which has a single row.
struct Routed {
  at::Tensor token, weight = ops::normal(Rng(3), {80}, 0, 1);
  std::vector<int64_t> offsets{0, 40, 41, 80};
  Routed() {
    std::vector<int64_t> ids;
    for (int64_t t = 0; t < 40; ++t) ids.push_back(t);
    ids.push_back(7);
    for (int64_t t = 0; t < 39; ++t) ids.push_back(t + 1);
    token = at::tensor(ids, at::kLong);
  }
};

CodedFfn layer_of(const BlockType& gate, const BlockType& up, const BlockType& down) {
  CodedFfn w;
  for (uint64_t e = 0; e < 3; ++e) {
    w.gate.push_back(drawn(gate, 10 + e, 128, 192)), w.up.push_back(drawn(up, 20 + e, 128, 192));
    w.down.push_back(drawn(down, 30 + e, 33, 128));
  }
  w.up_bias = ops::normal(Rng(30), {3, 128}, 0, 1), w.down_bias = ops::normal(Rng(31), {3, 33}, 0, 1);
  w.gate_bias = ops::normal(Rng(32), {3, 128}, 0, 1);
  return w;
}

at::Tensor stacked(const std::vector<CodedMatrix>& side) {
  std::vector<at::Tensor> all;
  for (const auto& m : side) all.push_back(ops::coded_values(m));
  return at::stack(all);
}

// Gate and up may be in other types, as files mix them; 8 bits leave rounding of 2^-16.
TEST(BlockWeights, ExpertsAreThoseOfTheValues) {
  const Routed r;
  const auto x = ops::normal(Rng(2), {40, 192}, 0, 0.3);
  for (const auto& [w, tolerance] : {std::pair{layer_of(kEight, kSixteen, kEight), 2e-4},
                                     {layer_of(kFour, kFour, kFourShifted), 3e-2},
                                     {layer_of(kFourShifted, kEight, kSixteen), 3e-2}}) {
    const ops::FfnWeights plain{stacked(w.gate), stacked(w.up), stacked(w.down),
                                w.gate_bias,     w.up_bias,     w.down_bias};
    const ops::FfnOptions how{"silu", false, 7.0, 1.0};
    const auto want = ops::moe_ffn(x, r.token, r.offsets, r.weight, plain, how);
    const auto packed = ops::pack_block_ffn(w);
    const auto got = ops::moe_ffn_blocks(x, r.token, r.offsets, r.weight, packed, how);
    const auto size = want.abs().max().item<double>();
    EXPECT_LE((got - want).abs().max().item<double>(), tolerance * size);
    const auto one = ops::moe_ffn_blocks(x.narrow(0, 7, 1), at::zeros({3}, at::kLong), {0, 1, 2, 3},
                                         at::stack({r.weight[7], r.weight[40], r.weight[47]}), packed, how);
    EXPECT_TRUE(at::equal(got[7], one[0])) << "a token alone";
  }
}

TEST(BlockWeights, RowsAreReadFromTheBlocks) {
  const auto m = drawn(kSixteen, 1, 70, 192);
  const auto id = at::tensor({69, 0, 7, 7}, at::kLong);
  EXPECT_TRUE(at::equal(ops::block_rows(m, id), ops::coded_values(m).index_select(0, id)));
  EXPECT_THROW(ops::block_rows(m, at::tensor({70}, at::kLong)), ValueError);
  EXPECT_THROW(ops::block_rows(m, at::tensor({-1}, at::kLong)), ValueError);
}

TEST(BlockWeights, BytesAreThoseOfThePanels) {
  EXPECT_EQ(drawn(kFour, 1, 64, 192).bytes(), 2 * 6 * (512 + 64));
  EXPECT_EQ(drawn(kFourShifted, 1, 70, 192).bytes(), 3 * 6 * (512 + 128)) << "outputs are filled up to 96";
  EXPECT_EQ(drawn(kSixteen, 1, 32, 64).bytes(), 2 * (1024 + 128));
  const auto m = drawn(kEight, 1, 70, 192);
  EXPECT_EQ(ops::dense_coded(m, {}).coded_bytes(), m.bytes());
}

void too_large(const uint8_t*, uint8_t* u, float* scales, float*) { u[0] = 1, scales[0] = 1e6f; }

TEST(BlockWeights, WhatDoesNotFitIsRefused) {
  const auto m = drawn(kFour, 1, 70, 192);
  const auto changed = [&](const std::function<void(CodedMatrix&)>& change) {
    auto other = m;
    change(other);
    return other;
  };
  EXPECT_THROW(
      ops::dense_coded(changed([](auto& o) { o.type = &kEight, o.codes = o.codes.narrow(2, 0, 32); }), {}),
      ValueError);
  EXPECT_THROW(ops::dense_coded(changed([](auto& o) { o.type = nullptr; }), {}), ValueError);
  EXPECT_THROW(ops::dense_coded(changed([](auto& o) { o.first = 1, o.out = 69; }), {}), ValueError);
  EXPECT_THROW(ops::dense_coded(changed([](auto& o) { o.out = 71; }), {}), ValueError);
  EXPECT_THROW(ops::dense_coded(m, at::zeros({69})), ValueError);
  static const BlockType large{"large", 32, 33, 8, 32, false, 0, too_large};
  EXPECT_THROW(ops::pack_blocks({changed([](auto& o) { o.type = &large; })}), ValueError)
      << "scales beyond f16";
  EXPECT_THROW(ops::pack_blocks({m, drawn(kEight, 2, 70, 192)}), ValueError) << "another type";
  EXPECT_THROW(ops::pack_blocks({}), ValueError);
  const auto w = ops::dense_coded(m, {});
  const auto x = ops::normal(Rng(2), {3, 192}, 0, 1);
  EXPECT_THROW(ops::dense(x.to(at::kDouble), w), ValueError);
  EXPECT_THROW(ops::dense(x.narrow(1, 0, 160), w), ValueError);
  EXPECT_THROW(ops::dense(x.clone().requires_grad_(true), w), ValueError);
  CodedFfn layer = layer_of(kFour, kFour, kFour);
  const Routed r;
  EXPECT_THROW(ops::moe_ffn_coded(ops::normal(Rng(2), {40, 192}, 0, 1), r.token, r.offsets, r.weight, layer),
               ValueError)
      << "blocks are packed first";
  layer.down.pop_back();
  EXPECT_THROW(ops::pack_block_ffn(layer), ValueError);
}

TEST(BlockWeights, ABlockThatIsNotFiniteIsSeen) {
  const auto w = ops::dense_coded(drawn(kFour, 1, 70, 192), {});
  auto x = ops::normal(Rng(2), {3, 192}, 0, 1);
  x[1][100] = std::numeric_limits<float>::infinity();
  const auto y = ops::dense(x, w);
  EXPECT_TRUE(at::isnan(y[1]).all().item<bool>());
  EXPECT_TRUE(at::isfinite(y[0]).all().item<bool>() && at::isfinite(y[2]).all().item<bool>());
}

}  // namespace gw::test::block_weights_cases
