#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <numeric>

#include "gatewright/base/error.h"
#include "gatewright/kernels/moe_ffn/family.h"
#include "gatewright/ops/moe_ffn.h"
#include "gatewright/ops/moe_ffn_call.h"
#include "gatewright/ops/random.h"
#include "tests/support/gradcheck.h"

namespace gw::test::moe_ffn_cases {

using gw::ops::FfnOptions;
using gw::ops::FfnWeights;
using gw::ops::moe_ffn;

at::Tensor normal(uint64_t seed, std::vector<int64_t> shape, at::ScalarType type = at::kDouble) {
  return gw::ops::normal(gw::Rng(seed), std::move(shape), 0, 1).to(type);
}

/// T = 7, D = 5, H = 6, O = 4, E = 4; expert 2 has no rows, token 6 goes nowhere.
struct Case {
  at::Tensor x, token, weight;
  std::vector<int64_t> offsets{0, 4, 6, 6, 10};
  FfnWeights w;
  explicit Case(at::ScalarType type = at::kDouble, bool glu = true, bool bias = true) {
    x = normal(1, {7, 5}, type), weight = normal(2, {10}, type);
    token = at::tensor(std::vector<int64_t>{0, 1, 3, 5, 1, 2, 0, 2, 4, 5}, at::kLong);
    w.up = normal(3, {4, 6, 5}, type), w.down = normal(4, {4, 4, 6}, type);
    if (glu) w.gate = normal(5, {4, 6, 5}, type);
    if (!bias) return;
    w.up_bias = normal(6, {4, 6}, type), w.down_bias = normal(7, {4, 4}, type);
    if (glu) w.gate_bias = normal(8, {4, 6}, type);
  }
  at::Tensor operator()(const FfnOptions& options = {}) const {
    return moe_ffn(x, token, offsets, weight, w, options);
  }
};

/// By libtorch's operations, row by row.
at::Tensor written_out(const Case& c) {
  auto y = at::zeros({c.x.size(0), c.w.down.size(1)}, c.x.options());
  for (size_t e = 0; e + 1 < c.offsets.size(); ++e) {
    const auto i = static_cast<int64_t>(e);
    for (int64_t r = c.offsets[e]; r < c.offsets[e + 1]; ++r) {
      const auto t = c.token[r].item<int64_t>();
      auto up = at::mv(c.w.up[i], c.x[t]), h = up;
      if (c.w.up_bias.defined()) up = up + c.w.up_bias[i];
      if (c.w.gate.defined()) {
        auto gate = at::mv(c.w.gate[i], c.x[t]);
        if (c.w.gate_bias.defined()) gate = gate + c.w.gate_bias[i];
        h = at::silu(gate) * up;
      } else {
        h = at::silu(up);
      }
      auto out = at::mv(c.w.down[i], h);
      if (c.w.down_bias.defined()) out = out + c.w.down_bias[i];
      y[t] += c.weight[r] * out;
    }
  }
  return y;
}

TEST(MoeFfn, EqualsLibtorchInEveryForm) {
  for (const bool glu : {false, true}) {
    for (const bool bias : {false, true}) {
      const Case c(at::kDouble, glu, bias);
      EXPECT_LT((c() - written_out(c)).abs().max().item<double>(), 1e-13) << glu << bias;
      EXPECT_EQ(c()[6].abs().max().item<double>(), 0) << "a token without rows gets zeros";
    }
  }
  const Case f(at::kFloat);
  EXPECT_LT((f() - written_out(f)).abs().max().item<double>(), 2e-5);
  const Case b(at::kBFloat16);
  EXPECT_EQ(b().scalar_type(), at::kBFloat16);
  EXPECT_LT((b().to(at::kFloat) - f()).abs().max().item<double>(), 0.02 * f().abs().max().item<double>());
}

TEST(MoeFfn, GradientsOfEveryInputMatchFiniteDifferences) {
  for (const bool recompute : {false, true}) {
    const Case c;
    const auto f = [&](const std::vector<at::Tensor>& in) {
      const FfnWeights w{in[2], in[3], in[4], in[5], in[6], in[7]};
      return std::vector<at::Tensor>{moe_ffn(in[0], c.token, c.offsets, in[1], w, {"silu", recompute})};
    };
    EXPECT_LT(gw::test::gradient_error(
                  f, {c.x, c.weight, c.w.gate, c.w.up, c.w.down, c.w.gate_bias, c.w.up_bias, c.w.down_bias}),
              1e-8);
  }
}

TEST(MoeFfn, GradientsOfEveryActivationMatchFiniteDifferences) {
  const Case c(at::kDouble, false);
  for (const auto* name : {"identity", "relu", "relu_squared", "sigmoid", "tanh", "silu", "quick_gelu",
                           "gelu", "gelu_tanh"}) {  // the others: test_activation.cpp
    const auto f = [&](const std::vector<at::Tensor>& in) {
      return std::vector<at::Tensor>{moe_ffn(in[0], c.token, c.offsets, c.weight,
                                             {{}, in[1], c.w.down, {}, c.w.up_bias, {}}, {name, false})};
    };
    EXPECT_LT(gw::test::gradient_error(f, {c.x, c.w.up}), 1e-7) << name;
  }
}

TEST(MoeFfn, EmptyExpertsGetExactZerosAndUnaskedGradientsAreNotComputed) {
  Case c;
  c.w.up.requires_grad_(true), c.w.down.requires_grad_(true);
  c().sum().backward();
  EXPECT_EQ(c.w.up.grad()[2].abs().max().item<double>(), 0);
  EXPECT_EQ(c.w.down.grad()[2].abs().max().item<double>(), 0);
  EXPECT_GT(c.w.up.grad()[3].abs().max().item<double>(), 0);
  EXPECT_FALSE(c.x.grad().defined());
}

// Gradients beyond 32 MB are written past the caches: with no, few and many rows, aligned and not. One expert
// alone stays below.
TEST(MoeFfn, GradientsLargerThanTheCachesHaveTheBitsOfSmallOnes) {
  const std::vector<int64_t> rows{0, 3, 12, 13, 40, 1, 2, 15};
  const int64_t experts = static_cast<int64_t>(rows.size()), tokens = 40;
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const int64_t d = 2048, h = type == at::kFloat ? 328 : 656;  // 43 MB; rows of `down` are 1312 bytes:
                                                                 // every other one begins inside a line
    const auto part = [&](uint64_t seed, int64_t e, int64_t m, int64_t n) {
      return gw::ops::uniform(gw::Rng(seed).fork("expert", static_cast<uint64_t>(e)), {1, m, n}, -0.05, 0.05)
          .to(type);
    };
    const auto x = normal(1, {tokens, d}, type), dy = normal(2, {tokens, d}, type);
    const auto gradients = [&](const std::vector<int64_t>& which) {
      std::vector<at::Tensor> up, down, token;
      std::vector<int64_t> offsets{0};
      for (const auto e : which) {
        up.push_back(part(3, e, h, d)), down.push_back(part(4, e, d, h)),
            token.push_back(at::arange(rows[static_cast<size_t>(e)], at::kLong));
        offsets.push_back(offsets.back() + rows[static_cast<size_t>(e)]);
      }
      const FfnWeights w{{}, at::cat(up).requires_grad_(true), at::cat(down).requires_grad_(true), {}, {},
                         {}};
      moe_ffn(x, at::cat(token), offsets, at::full({offsets.back()}, 0.5), w).backward(dy);
      return std::pair{w.up.grad(), w.down.grad()};
    };
    std::vector<int64_t> all(static_cast<size_t>(experts));
    std::iota(all.begin(), all.end(), 0);
    const auto together = gradients(all);
    for (const auto e : all) {
      const auto alone = gradients({e});
      EXPECT_TRUE(at::equal(together.first[e], alone.first[0])) << c10::toString(type) << " up, expert " << e;
      EXPECT_TRUE(at::equal(together.second[e], alone.second[0]))
          << c10::toString(type) << " down, expert " << e;
      EXPECT_EQ(alone.first.abs().max().item<double>() > 0, rows[static_cast<size_t>(e)] > 0);
    }
  }
}

TEST(MoeFfn, SameBitsForAnyThreadsAndAnySplit) {
  const int threads = at::get_num_threads();
  const int64_t tokens = 90, experts = 3, d = 40;
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const auto x = normal(1, {tokens, d}, type), weight = normal(2, {tokens * experts}, at::kFloat);
    const FfnWeights w{normal(3, {experts, 50, d}, type),
                       normal(4, {experts, 50, d}, type),
                       normal(5, {experts, d, 50}, type),
                       {},
                       {},
                       {}};
    const auto part = [&](int64_t begin, int64_t end) {  // every token to every expert
      const auto n = end - begin;
      std::vector<at::Tensor> weights;
      for (int64_t e = 0; e < experts; ++e) weights.push_back(weight.narrow(0, e * tokens + begin, n));
      return moe_ffn(x.narrow(0, begin, n), at::arange(n, at::kLong).repeat({experts}), {0, n, 2 * n, 3 * n},
                     at::cat(weights), w);
    };
    const auto whole = part(0, tokens);
    for (const int64_t cut : {1, 13, 14, 57})
      EXPECT_TRUE(at::equal(at::cat({part(0, cut), part(cut, tokens)}), whole)) << "cut at " << cut;
    at::set_num_threads(1);
    EXPECT_TRUE(at::equal(part(0, tokens), whole));
    at::set_num_threads(threads);
  }
}

TEST(MoeFfn, PackedWeightsGiveTheSameBitsAndHoldForTheirLevelOnly) {
  for (const auto type : {at::kFloat, at::kBFloat16, at::kDouble}) {
    const Case c(type);
    const auto packed = gw::ops::pack_ffn(c.w);
    EXPECT_TRUE(at::equal(moe_ffn(c.x, c.token, c.offsets, c.weight, c.w, {}, packed), c()));
  }
  const Case c(at::kFloat);
  auto packed = gw::ops::pack_ffn(c.w);
  packed.level = "other";
  EXPECT_THROW(moe_ffn(c.x, c.token, c.offsets, c.weight, c.w, {}, packed), gw::ValueError);
}

TEST(MoeFfn, NothingToDoIsDefined) {
  Case c;
  c.w.up.requires_grad_(true);
  const auto none = at::empty({0}, at::kLong);
  const auto y = moe_ffn(c.x, none, {0, 0, 0, 0, 0}, at::empty({0}, at::kDouble), c.w);
  EXPECT_EQ(y.abs().max().item<double>(), 0);
  y.sum().backward();
  EXPECT_EQ(c.w.up.grad().abs().max().item<double>(), 0);
  EXPECT_EQ(moe_ffn(c.x.narrow(0, 0, 0), none, {0, 0, 0, 0, 0}, at::empty({0}, at::kDouble), c.w).sizes(),
            (std::vector<int64_t>{0, 4}));
  const FfnWeights thin{{}, at::empty({4, 0, 5}, at::kDouble), at::empty({4, 4, 0}, at::kDouble), {}, {}, {}};
  EXPECT_EQ(moe_ffn(c.x, c.token, c.offsets, c.weight, thin).abs().max().item<double>(), 0);
}

TEST(MoeFfn, NanStaysInItsToken) {
  Case c;
  c.x[1][2] = NAN;
  const auto y = c();
  EXPECT_TRUE(y[1].isnan().all().item<bool>());
  EXPECT_FALSE(y.index_select(0, at::tensor(std::vector<int64_t>{0, 2, 3, 4, 5, 6}, at::kLong))
                   .isnan()
                   .any()
                   .item<bool>());
}

TEST(MoeFfn, StridedInputsAreTakenAsTheyAre) {
  Case c;
  const auto want = c();
  c.x = c.x.t().contiguous().t(), c.w.up = c.w.up.transpose(1, 2).contiguous().transpose(1, 2);
  EXPECT_TRUE(at::equal(c(), want));
}

TEST(MoeFfn, MistakesAreNamed) {
  const auto expect = [](const std::function<void(Case&)>& spoil, const char* part) {
    Case c;
    spoil(c);
    try {
      c();
      ADD_FAILURE() << "no error about " << part;
    } catch (const gw::ValueError& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  };
  expect([](Case& c) { c.x = c.x.unsqueeze(0); }, "x [T, D]");
  expect([](Case& c) { c.x = c.x.to(at::kMeta); }, "x on the CPU, got it on meta; move it with x.cpu()");
  EXPECT_NE(gw::ops::device_remedy(at::Device(at::kCUDA, 0)).find("gatewright/kernels/moe_ffn/cuda.h"),
            std::string::npos);
  expect([](Case& c) { c.x = c.x.to(at::kInt); }, "f32, bf16 or f64");
  expect([](Case& c) { c.x = c.x.narrow(1, 0, 4); }, "x [T, 5]");
  expect([](Case& c) { c.w.gate = c.w.gate.narrow(0, 0, 3); }, "gate of shape [4, 6, 5]");
  expect([](Case& c) { c.w.down = c.w.down.to(at::kFloat); }, "down in Double");
  expect([](Case& c) { c.w.down_bias = c.w.down_bias.narrow(1, 0, 3); }, "down_bias of shape [4, 4]");
  expect([](Case& c) { c.w.gate = at::Tensor(); }, "a gate with gate_bias");
  expect([](Case& c) { c.token = c.token.to(at::kInt); }, "int64");
  expect([](Case& c) { c.token[3] = 7; }, "in [0, 7), got 7 in row 3");
  expect([](Case& c) { c.token[3] = -1; }, "got -1 in row 3");
  expect([](Case& c) { c.offsets = {0, 4, 3, 6, 10}; }, "offsets that rise");
  expect([](Case& c) { c.offsets.back() = 9; }, "offsets that rise");
  expect([](Case& c) { c.weight = c.weight.narrow(0, 0, 9); }, "one routing weight per row (10), got 9");
  Case c;
  EXPECT_THROW(c({"sliu", false}), gw::ValueError);
  c.x.requires_grad_(true);
  EXPECT_THROW(torch::autograd::grad({c().sum()}, {c.x}, {}, true, true), gw::ValueError);
}

}  // namespace gw::test::moe_ffn_cases
