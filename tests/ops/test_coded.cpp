// Weights that stay in the codes of their files: the bits of the expanded ones, whatever their sizes and
// order.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>

#include "gatewright/base/error.h"
#include "gatewright/kernels/codes/family.h"
#include "gatewright/ops/coded.h"
#include "gatewright/ops/dense.h"
#include "gatewright/ops/random.h"

namespace gw::test::coded_cases {

using ops::CodedFfn;
using ops::CodedMatrix;
using ops::FewBits;

at::Tensor drawn_bytes(uint64_t seed, std::vector<int64_t> shape, int64_t most) {
  return ops::uniform(Rng(seed), std::move(shape), 0, static_cast<double>(most)).to(at::kByte);
}

/// Blocks of 5 by 7: several of them, and smaller ones at the ends. Codes below 120 and from 128 on: finite.
CodedMatrix fp8(uint64_t seed, int64_t rows, int64_t in) {
  CodedMatrix m;
  m.codes = drawn_bytes(seed, {rows, in}, 112) + drawn_bytes(seed + 1, {rows, in}, 2) * 128;
  m.rows = 5, m.columns = 7, m.out = rows;
  m.scales = ops::uniform(Rng(seed + 2), {(rows + 4) / 5, (in + 6) / 7}, 1e-3, 2e-2);
  return m;
}

CodedMatrix mxfp4(uint64_t seed, int64_t rows, int64_t in) {
  CodedMatrix m;
  m.form = FewBits::mxfp4, m.out = rows;
  m.codes = drawn_bytes(seed, {rows, in / 32, 16}, 256),
  m.scales = drawn_bytes(seed + 1, {rows, in / 32}, 5) + 120;
  return m;
}

/// 40 tokens to 2 of 3 experts each, one of which has a single row.
struct Rows {
  at::Tensor token, weight = ops::normal(Rng(3), {80}, 0, 1);
  std::vector<int64_t> offsets{0, 40, 41, 80};
  Rows() {
    std::vector<int64_t> ids;
    for (int64_t t = 0; t < 40; ++t) ids.push_back(t);
    ids.push_back(7);
    for (int64_t t = 0; t < 39; ++t) ids.push_back(t + 1);
    token = at::tensor(ids, at::kLong);
  }
};

at::Tensor stacked(const std::vector<CodedMatrix>& side, at::ScalarType type) {
  std::vector<at::Tensor> all;
  for (const auto& m : side) all.push_back(ops::coded_values(m));
  return all.empty() ? at::Tensor() : at::stack(all).to(type);
}

CodedFfn layer_of(FewBits form, bool gated) {
  CodedFfn w;
  const bool few = form == FewBits::mxfp4;
  const int64_t in = few ? 160 : 150, hidden = few ? 96 : 70, out = 33;
  for (uint64_t e = 0; e < 3; ++e) {
    const auto one = [&](uint64_t seed, int64_t rows, int64_t k) {
      return few ? mxfp4(seed + 100 * e, rows, k) : fp8(seed + 100 * e, rows, k);
    };
    // Gate and up are the rows of one tensor by turns, or its halves.
    auto both = one(10, 2 * hidden, in);
    both.out = hidden;
    auto gate = both, up = both;
    if (few)
      gate.step = up.step = 2, up.first = 1;
    else
      up.first = hidden;
    if (gated) w.gate.push_back(gate);
    w.up.push_back(up), w.down.push_back(one(20, out, hidden));
  }
  // Numbers of bf16, which the expanded layer takes its biases in.
  const auto bias = [](uint64_t seed, int64_t n) {
    return ops::normal(Rng(seed), {3, n}, 0, 1).to(at::kBFloat16).to(at::kFloat);
  };
  w.up_bias = bias(30, hidden), w.down_bias = bias(31, out);
  if (gated) w.gate_bias = bias(32, hidden);
  return w;
}

TEST(Coded, ExpertsHaveTheBitsOfExpandedOnes) {
  const Rows rows;
  for (const auto& level : kernels::codes_family().levels()) {
    if (!level.available) continue;
    kernels::codes_family().force(level.name);
    for (const auto form : {FewBits::fp8, FewBits::mxfp4}) {
      for (const bool gated : {false, true}) {
        const auto w = layer_of(form, gated);
        const auto x = ops::normal(Rng(2), {40, w.up.front().in()}, 0, 1);
        for (const auto type : {at::kFloat, at::kBFloat16}) {
          const auto bias = [&](const at::Tensor& b) { return b.defined() ? b.to(type) : b; };
          const ops::FfnWeights plain{stacked(w.gate, type), stacked(w.up, type), stacked(w.down, type),
                                      bias(w.gate_bias),     bias(w.up_bias),     bias(w.down_bias)};
          const ops::FfnOptions how{"silu", false, gated ? 7.0 : 0.0, gated ? 1.0 : 0.0};
          const auto want = ops::moe_ffn(x.to(type), rows.token, rows.offsets, rows.weight, plain, how);
          const auto got = ops::moe_ffn_coded(x.to(type), rows.token, rows.offsets, rows.weight, w, how);
          EXPECT_TRUE(at::equal(got, want))
              << level.name << ", " << c10::toString(type) << ", gated " << gated;
          EXPECT_GT(want.abs().max().item<double>(), 0);
        }
      }
    }
  }
  kernels::codes_family().force("");
}

TEST(Coded, ATokenHasTheBitsThatItHasAlone) {
  const auto w = layer_of(FewBits::mxfp4, true);
  const auto x = ops::normal(Rng(2), {40, 160}, 0, 1);
  const Rows rows;
  const auto all = ops::moe_ffn_coded(x, rows.token, rows.offsets, rows.weight, w);
  const auto one = ops::moe_ffn_coded(x.narrow(0, 7, 1), at::zeros({3}, at::kLong), {0, 1, 2, 3},
                                      at::stack({rows.weight[7], rows.weight[40], rows.weight[47]}), w);
  EXPECT_TRUE(at::equal(all[7], one[0]));
}

TEST(Coded, ProjectionsHaveTheBitsOfExpandedOnes) {
  const auto bias = ops::normal(Rng(9), {70}, 0, 1);
  for (const auto& m : {fp8(1, 70, 150), mxfp4(2, 70, 160)}) {
    for (const int64_t n : {1, 3, 50}) {
      for (const auto type : {at::kFloat, at::kBFloat16}) {
        const auto x = ops::normal(Rng(4), {n, m.in()}, 0, 1).to(type);
        const auto plain = ops::dense_weight(ops::coded_values(m).to(type), bias);
        EXPECT_TRUE(at::equal(ops::dense(x, ops::dense_coded(m, bias)), ops::dense(x, plain)))
            << n << " rows of " << c10::toString(type);
      }
    }
  }
}

TEST(Coded, BytesAreThoseOfCodesAndScales) {
  EXPECT_EQ(fp8(1, 70, 150).bytes(), 70 * 150 + 14 * 22 * 4);
  EXPECT_EQ(mxfp4(1, 70, 160).bytes(), 70 * 5 * 17);
  auto half = mxfp4(1, 70, 160);
  half.step = 2, half.out = 35;
  EXPECT_EQ(half.bytes(), 35 * 5 * 17);
}

TEST(Coded, WhatDoesNotFitIsRefused) {
  const Rows rows;
  const auto x = ops::normal(Rng(2), {40, 150}, 0, 1);
  const auto call = [&](const CodedFfn& w, const at::Tensor& given) {
    return ops::moe_ffn_coded(given, rows.token, rows.offsets, rows.weight, w);
  };
  auto w = layer_of(FewBits::fp8, true);
  EXPECT_THROW(call(w, x.to(at::kDouble)), ValueError);
  EXPECT_THROW(call(w, x.narrow(1, 0, 149)), ValueError);
  EXPECT_THROW(call(w, x.clone().requires_grad_(true)), ValueError);
  const auto changed = [&](const std::function<void(CodedMatrix&)>& change) {
    auto other = w;
    change(other.up[1]);
    return other;
  };
  EXPECT_THROW(call(changed([](auto& m) { m.rows = 6; }), x), ValueError) << "scales of other blocks";
  EXPECT_THROW(call(changed([](auto& m) { m.first = 71; }), x), ValueError) << "rows beyond the codes";
  EXPECT_THROW(call(changed([](auto& m) { m.out = 69; }), x), ValueError) << "another expert's size";
  EXPECT_THROW(call(changed([](auto& m) { m.scales = m.scales.to(at::kDouble); }), x), ValueError);
  EXPECT_THROW(call(changed([](auto& m) { m.codes = m.codes.t(); }), x), ValueError)
      << "not one after the other";
  w.down.pop_back();
  EXPECT_THROW(call(w, x), ValueError);
  EXPECT_THROW(call({}, x), ValueError);
}

}  // namespace gw::test::coded_cases
