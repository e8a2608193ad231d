// Weights that a bank holds for inference: what rounding costs, and what is refused.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/mixture/mixture.h"
#include "gatewright/ops/quantised.h"
#include "gatewright/ops/random.h"

namespace gw::test::held_weights_cases {

using gw::Json;

std::shared_ptr<gw::Mixture> layer_of(const std::string& weights, bool glu, const std::string& policy,
                                      int64_t group = 0) {
  Json bank{{"part", "mlp"}, {"hidden", 64}, {"glu", glu}, {"weights", weights}, {"group", group}};
  if (glu) bank["activation"] = "silu";
  return gw::Mixture::from_json({{"experts", 4},
                                 {"in", 128},
                                 {"seed", 7},
                                 {"policy", {{"part", policy}}},
                                 {"bank", bank},
                                 {"shared_experts", 1}});
}

std::shared_ptr<gw::Mixture> converted(gw::Mixture& trained, const std::string& weights, bool glu,
                                       const std::string& policy) {
  auto held = layer_of(weights, glu, policy);
  const torch::NoGradGuard no_grad;
  held->gate().parameters()[0].copy_(trained.gate().parameters()[0]);
  const auto from = trained.named_modules(), to = held->named_modules();
  for (const char* bank : {"bank", "shared"})
    std::dynamic_pointer_cast<gw::Bank>(to[bank])->take(*std::dynamic_pointer_cast<gw::Bank>(from[bank]));
  return held;
}

at::Tensor tokens(int64_t n) { return gw::ops::normal(gw::Rng(4), {n, 128}, 0, 1); }

double relative(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

class HeldWeights : public testing::TestWithParam<std::string> {};

// The relative error of rounding is about 2^-9 for bf16, a 0.6 % of a weight's deviation for int8 and a tenth
// of it for int4; sums of many products keep it.
TEST_P(HeldWeights, AnswersAreThoseOfTheTrainedLayerUpToTheirRounding) {
  const double bound = GetParam() == "bf16" ? 0.01 : GetParam() == "int8" ? 0.02 : 0.2;
  for (const bool glu : {false, true}) {
    for (const std::string policy : {"softmax_top_k", "expert_choice", "dense_softmax", "soft_moe"}) {
      const auto trained = layer_of("f32", glu, policy);
      const auto held = converted(*trained, GetParam(), glu, policy);
      const torch::NoGradGuard no_grad;
      const auto x = tokens(33);
      const auto want = trained->forward(x, gw::Rng(1)).y, got = held->forward(x, gw::Rng(1)).y;
      EXPECT_EQ(got.scalar_type(), at::kFloat);
      const double error = relative(got, want);
      EXPECT_LT(error, bound) << policy << (glu ? ", gated" : "");
      EXPECT_GT(error, 0) << "nothing was rounded";
    }
  }
}

TEST_P(HeldWeights, EveryExecutorAgreesOnThem) {
  const torch::NoGradGuard no_grad;
  const auto trained = layer_of("f32", true, "softmax_top_k");
  const auto held = converted(*trained, GetParam(), true, "softmax_top_k");
  const auto x = tokens(9);
  const auto plan = held->forward(x, gw::Rng(1)).plan;
  auto& bank = held->bank();
  const auto fused = bank.mix(x, plan.offsets, plan.token, plan.weight);
  at::Tensor written;
  const auto weights = gw::dense_weights(plan);
  for (int64_t e = 0; e < 4; ++e) {
    const auto part = bank.run_one(x, e) * weights.select(1, e).unsqueeze(1);
    written = written.defined() ? written + part : part;
  }
  EXPECT_LT(relative(fused, written), GetParam() == "bf16" ? 0.01 : 1e-5);
}

TEST_P(HeldWeights, AreBuffersOfTheirOwnSizeAndKeepTheirForm) {
  const auto held = layer_of(GetParam(), true, "softmax_top_k");
  EXPECT_TRUE(held->bank().parameters().empty()) << "nothing here is trained";
  int64_t bytes = 0;
  for (const auto& t : held->bank().buffers()) bytes += static_cast<int64_t>(t.nbytes());
  const double f32 = 4.0 * 4 * (3 * 128 * 64 + 2 * 64 + 128);
  const double share = static_cast<double>(bytes) / f32;
  // Sizes of whole panels: what is over are scales and f32 biases.
  EXPECT_LT(share, GetParam() == "bf16" ? 0.501 : GetParam() == "int8" ? 0.28 : 0.15);
  std::vector<at::ScalarType> types;
  for (const auto& t : held->bank().buffers()) types.push_back(t.scalar_type());
  held->to(at::kDouble);
  for (size_t i = 0; i < types.size(); ++i) EXPECT_EQ(held->bank().buffers()[i].scalar_type(), types[i]);
  const torch::NoGradGuard no_grad;
  EXPECT_EQ(held->forward(tokens(3).to(at::kDouble), gw::Rng(1)).y.scalar_type(), at::kDouble);
}

TEST_P(HeldWeights, RefuseWhatDoesNotFit) {
  auto held = layer_of(GetParam(), true, "softmax_top_k");
  const auto other = layer_of("f32", false, "softmax_top_k");
  EXPECT_THROW(held->bank().take(other->bank()), gw::ValueError);
  EXPECT_THROW(other->bank().take(held->bank()), gw::ValueError);
  const auto poisoned = layer_of("f32", true, "softmax_top_k");
  const auto before = held->bank().buffers()[0].clone();
  {
    const torch::NoGradGuard no_grad;
    poisoned->bank().parameters()[0].select(0, 1).fill_(std::nan(""));
  }
  EXPECT_THROW(held->bank().take(poisoned->bank()), gw::ValueError);
  EXPECT_TRUE(held->bank().buffers()[0].equal(before)) << "nothing half-taken";
}

INSTANTIATE_TEST_SUITE_P(Forms, HeldWeights, testing::Values("bf16", "int8", "int4"),
                         [](const auto& test) { return test.param; });

TEST(HeldWeightsOptions, GroupsAreMultiplesOf64) {
  EXPECT_THROW(layer_of("int8", true, "softmax_top_k", 50), gw::ValueError);
  EXPECT_NO_THROW(layer_of("int8", true, "softmax_top_k", 64));
}

}  // namespace gw::test::held_weights_cases
