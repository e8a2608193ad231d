// Forms of moe_ffn beside the plain ones: factors of a GLU within bounds, and layers whose products have
// nothing to sum.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/error.h"
#include "gatewright/ops/moe_ffn.h"
#include "gatewright/ops/quantised.h"
#include "gatewright/ops/random.h"
#include "tests/support/gradcheck.h"

namespace gw::test::ffn_forms_cases {

using gw::ops::FfnOptions;
using gw::ops::FfnWeights;
using gw::ops::moe_ffn;

at::Tensor normal(uint64_t seed, std::vector<int64_t> shape, double deviation = 1) {
  return gw::ops::normal(gw::Rng(seed), std::move(shape), 0, deviation).to(at::kDouble);
}

const FfnOptions kGptOss{"quick_gelu", false, 7, 1};

/// Nine tokens to two of four experts each; products of deviation 6 around a limit of 7: a quarter lies
/// beyond it.
struct Layer {
  std::vector<int64_t> offsets{0, 5, 9, 9, 18};
  at::Tensor token =
      at::tensor(std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8}, at::kLong);
  at::Tensor x = normal(1, {9, 5}, 3), weight = normal(2, {18});
  FfnWeights w{normal(3, {4, 21, 5}), normal(4, {4, 21, 5}), normal(5, {4, 6, 21}),
               normal(6, {4, 21}),    normal(7, {4, 21}),    normal(8, {4, 6})};

  std::vector<at::Tensor> inputs() const {
    return {x, weight, w.gate, w.up, w.down, w.gate_bias, w.up_bias, w.down_bias};
  }
  std::vector<at::Tensor> run(const std::vector<at::Tensor>& in, const FfnOptions& options) const {
    return {moe_ffn(in[0], token, offsets, in[1], {in[2], in[3], in[4], in[5], in[6], in[7]}, options)};
  }
};

/// As GPT-OSS writes it: gate.clamp(max=limit), up.clamp(-limit, limit), (up + 1)·gate·σ(1.702·gate).
at::Tensor published(const Layer& l, const std::vector<at::Tensor>& in) {
  auto y = at::zeros({9, 6}, in[0].options());
  for (int64_t e = 0; e < 4; ++e) {
    const auto begin = l.offsets[static_cast<size_t>(e)],
               count = l.offsets[static_cast<size_t>(e) + 1] - begin;
    const auto token = l.token.narrow(0, begin, count), rows = in[0].index_select(0, token);
    const auto gate = (at::matmul(rows, in[2][e].t()) + in[5][e]).clamp_max(7),
               up = (at::matmul(rows, in[3][e].t()) + in[6][e]).clamp(-7, 7);
    const auto out = at::matmul((up + 1) * gate * at::sigmoid(1.702 * gate), in[4][e].t()) + in[7][e];
    y = y.index_add(0, token, out * in[1].narrow(0, begin, count).unsqueeze(1));
  }
  return y;
}

std::vector<at::Tensor> gradients(const at::Tensor& y, const std::vector<at::Tensor>& in) {
  return torch::autograd::grad({(y * normal(9, {9, 6}).to(y.scalar_type())).sum()}, in);
}

std::vector<at::Tensor> leaves(const std::vector<at::Tensor>& in, at::ScalarType type) {
  std::vector<at::Tensor> out;
  for (const auto& t : in) out.push_back(t.to(type).detach().requires_grad_(true));
  return out;
}

TEST(Bounds, EqualThePublishedExpertForwardAndBackward) {
  const Layer l;
  // bf16: products are kept rounded to 2^-9, and one that rounding takes over the limit has no derivative
  // there.
  for (const auto& [type, tolerance] : std::vector<std::pair<at::ScalarType, double>>{
           {at::kDouble, 1e-13}, {at::kFloat, 3e-6}, {at::kBFloat16, 0.1}}) {
    const auto mine = leaves(l.inputs(), type), theirs = leaves(mine, at::kDouble);
    const auto y = l.run(mine, kGptOss)[0], want = published(l, theirs);
    EXPECT_LT(((y - want).abs().max() / want.abs().max()).item<double>(), tolerance) << c10::toString(type);
    const auto got = gradients(y, mine), wanted = gradients(want, theirs);
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_LT(((got[i] - wanted[i]).abs().max() / wanted[i].abs().max()).item<double>(), tolerance)
          << i << c10::toString(type);
  }
  const auto in = l.inputs();
  const auto gate = at::matmul(l.x, l.w.gate[0].t()) + l.w.gate_bias[0];
  const double beyond = gate.gt(7).to(at::kDouble).mean().item<double>();
  EXPECT_GT(beyond, 0.05);
  EXPECT_GT((l.run(in, kGptOss)[0] - l.run(in, {"quick_gelu", false, 0, 1})[0]).abs().max().item<double>(), 1)
      << "the limit does nothing here";
}

TEST(Bounds, GradientsMatchFiniteDifferences) {
  const Layer l;
  for (const bool recompute : {false, true}) {
    for (const double limit : {0.0, 7.0}) {
      const auto f = [&](const std::vector<at::Tensor>& in) {
        return l.run(in, {"quick_gelu", recompute, limit, 1});
      };
      EXPECT_LT(gw::test::gradient_error(f, l.inputs()), 1e-6)
          << recompute << limit;  // values of a few thousand: differences round at 1e-7
    }
  }
}

TEST(Bounds, HoldForQuantisedWeights) {
  const Layer l;
  const auto q = gw::ops::quantise_ffn(l.w, 8, 0);
  const auto x = l.x.to(at::kFloat);
  const auto want = l.run(l.inputs(), kGptOss)[0],
             got = gw::ops::moe_ffn_quantised(x, l.token, l.offsets, l.weight, q, kGptOss);
  EXPECT_LT(((got - want).abs().max() / want.abs().max()).item<double>(), 0.02);
}

TEST(Bounds, AreRefusedWhereTheyMeanNothing) {
  const Layer l;
  const auto run = [&](const FfnOptions& options, bool glu) {
    const FfnWeights w{glu ? l.w.gate : at::Tensor(), l.w.up, l.w.down, {}, {}, {}};
    return moe_ffn(l.x, l.token, l.offsets, l.weight, w, options);
  };
  EXPECT_THROW(run({"silu", false, 7, 0}, false), gw::ValueError);
  EXPECT_THROW(run({"silu", false, 0, 1}, false), gw::ValueError);
  EXPECT_THROW(run({"silu", false, -1, 0}, true), gw::ValueError);
  EXPECT_THROW(run({"silu", false, std::nan(""), 0}, true), gw::ValueError);
  EXPECT_THROW(run({"silu", false, 7, HUGE_VAL}, true), gw::ValueError);
}

/// Two tokens to one expert each, D inputs and H hidden values.
std::vector<at::Tensor> degenerate(int64_t d, int64_t h, at::ScalarType type) {
  std::vector<at::Tensor> out;
  const auto add = [&](uint64_t seed, std::vector<int64_t> shape) {
    out.push_back(normal(seed, std::move(shape)).to(type));
  };
  add(1, {2, d}), add(2, {2}), add(3, {2, h, d}), add(4, {2, h, d}), add(5, {2, 3, h}), add(6, {2, h}),
      add(7, {2, h}), add(8, {2, 3});
  return out;
}
at::Tensor run_degenerate(const std::vector<at::Tensor>& in, bool glu) {
  const FfnWeights w{glu ? in[2] : at::Tensor(), in[3], in[4], glu ? in[5] : at::Tensor(), in[6], in[7]};
  return moe_ffn(in[0], at::tensor(std::vector<int64_t>{1, 0}, at::kLong), {0, 1, 2}, in[1], w);
}

TEST(NothingToSum, LeavesTheBiases) {
  for (const auto type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    for (const bool glu : {false, true}) {
      const auto hidden = degenerate(4, 0, type), input = degenerate(0, 5, type);
      const auto last = [&](const std::vector<at::Tensor>& in, int64_t e) { return in[1][e] * in[7][e]; };
      const auto y = run_degenerate(hidden, glu);
      EXPECT_TRUE(at::allclose(y[1], last(hidden, 0), 1e-2, 1e-2) &&
                  at::allclose(y[0], last(hidden, 1), 1e-2, 1e-2))
          << c10::toString(type);
      const auto z = run_degenerate(input, glu);
      for (int64_t e = 0; e < 2; ++e) {
        const auto h = glu ? at::silu(input[5][e]) * input[6][e] : at::silu(input[6][e]);
        EXPECT_TRUE(at::allclose(z[1 - e], input[1][e] * (at::mv(input[4][e], h) + input[7][e]), 5e-2, 5e-2))
            << c10::toString(type) << glu;
      }
    }
  }
}

TEST(NothingToSum, GradientsMatchFiniteDifferences) {
  for (const bool glu : {false, true}) {
    for (const auto& [d, h] : std::vector<std::pair<int64_t, int64_t>>{{4, 0}, {0, 5}, {0, 0}}) {
      auto in = degenerate(d, h, at::kDouble);
      std::vector<at::Tensor> asked;
      std::vector<size_t> place;
      for (size_t i = 0; i < in.size(); ++i) {
        if (in[i].numel() > 0 && (glu || (i != 2 && i != 5))) asked.push_back(in[i]), place.push_back(i);
      }
      const auto f = [&](const std::vector<at::Tensor>& given) {
        auto all = in;
        for (size_t i = 0; i < given.size(); ++i) all[place[i]] = given[i];
        return std::vector<at::Tensor>{run_degenerate(all, glu)};
      };
      EXPECT_LT(gw::test::gradient_error(f, asked), 1e-8) << d << " inputs, " << h << " hidden";
      for (auto& t : in) t.requires_grad_(true);
      run_degenerate(in, glu).sum().backward();
      EXPECT_TRUE(in[3].grad().defined() && in[3].grad().sizes() == in[3].sizes());
      EXPECT_NE(in[7].grad().abs().sum().item<double>(), 0);
      EXPECT_NE(in[1].grad().abs().sum().item<double>(), 0);
    }
  }
}

TEST(NothingToSum, IsNotQuantised) {
  const auto in = degenerate(4, 0, at::kFloat);
  try {
    gw::ops::quantise_ffn({in[2], in[3], in[4], {}, {}, {}}, 8, 0);
    FAIL() << "accepted";
  } catch (const gw::ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("[2, 0, 4]"), std::string::npos) << error.what();
  }
}

}  // namespace gw::test::ffn_forms_cases
