#include <gtest/gtest.h>

#include "gatewright/base/error.h"
#include "gatewright/ops/random.h"
#include "gatewright/ops/top_k.h"
#include "tests/support/gradcheck.h"

namespace gw::test::top_k_cases {

TEST(TopK, EqualsLibtorch) {
  const auto s = gw::ops::normal(gw::Rng(1), {300, 33}, 0, 1);
  const auto got = gw::ops::top_k(s, 4, "softmax", true);
  const auto want = at::softmax(s, 1).topk(4, 1);
  EXPECT_TRUE(at::equal(got.expert, std::get<1>(want)));
  EXPECT_LT((got.weight - std::get<0>(want) / std::get<0>(want).sum(1, true)).abs().max().item<double>(),
            1e-6);
  const auto part = gw::ops::top_k(s.narrow(0, 17, 5), 4, "softmax", true);
  EXPECT_TRUE(at::equal(part.weight, got.weight.narrow(0, 17, 5)))
      << "the same bits however the tokens are split";
}

TEST(TopK, GradientsMatchFiniteDifferences) {
  const auto s = gw::ops::normal(gw::Rng(2), {6, 9}, 0, 1).to(at::kDouble);
  for (const auto* f : {"identity", "softmax", "sigmoid"}) {
    for (const bool renormalise : {false, true}) {
      const auto one = [&](const std::vector<at::Tensor>& in) {
        return std::vector<at::Tensor>{gw::ops::top_k(in[0], 3, f, renormalise).weight};
      };
      EXPECT_LT(gw::test::gradient_error(one, {s}), 1e-8) << f << renormalise;
    }
  }
}

TEST(TopK, ARowWithoutMassHasNoWeightAndNoGradient) {
  auto s = gw::ops::normal(gw::Rng(4), {3, 5}, 0, 1).to(at::kDouble);
  s[1].fill_(-HUGE_VAL);
  for (const auto& scores : {s, s.to(at::kFloat)}) {
    for (const auto* f : {"softmax", "sigmoid"}) {
      for (const bool renormalise : {false, true}) {
        const auto leaf = scores.clone().requires_grad_(true);
        const auto weight = gw::ops::top_k(leaf, 2, f, renormalise).weight;
        weight.square().sum().backward();
        EXPECT_EQ(weight[1].abs().max().item<double>(), 0) << f << renormalise;
        EXPECT_EQ(leaf.grad()[1].abs().max().item<double>(), 0) << f << renormalise;
        EXPECT_TRUE(leaf.grad().isfinite().all().item<bool>()) << f << renormalise;
        EXPECT_GT(leaf.grad()[0].abs().max().item<double>(), 0) << f << renormalise;
      }
    }
  }
}

TEST(TopK, MistakesAreNamed) {
  auto s = gw::ops::normal(gw::Rng(3), {4, 5}, 0, 1);
  EXPECT_THROW(gw::ops::top_k(s, 0), gw::ValueError);
  EXPECT_THROW(gw::ops::top_k(s, 6), gw::ValueError);
  EXPECT_THROW(gw::ops::top_k(s, 1, "softmx"), gw::ValueError);
  EXPECT_THROW(gw::ops::top_k(s.to(at::kInt), 1), gw::ValueError);
  const auto message = [](const auto& call) {
    try {
      call();
    } catch (const gw::ValueError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  std::vector<int64_t> begins;
  EXPECT_NE(message([&] { gw::ops::top_k(s.to(at::kMeta), 1); }).find("got [4, 5] of Float on meta"),
            std::string::npos);
  EXPECT_NE(message([&] { gw::ops::sort_slots(s, 2, begins); }).find("got [4, 5] of Float on cpu"),
            std::string::npos);
  s[2][1] = NAN;
  try {
    gw::ops::top_k(s, 1);
    ADD_FAILURE();
  } catch (const gw::ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("token 2"), std::string::npos);
  }
  std::vector<int64_t> offsets;
  EXPECT_THROW(
      gw::ops::sort_slots(at::tensor(std::vector<int64_t>{0, 0}, at::kLong).view({1, 2}), 2, offsets),
      gw::ValueError);
  EXPECT_THROW(
      gw::ops::sort_slots(at::tensor(std::vector<int64_t>{0, 2}, at::kLong).view({1, 2}), 2, offsets),
      gw::ValueError);
  EXPECT_EQ(gw::ops::top_k(s.narrow(0, 0, 0), 2).expert.sizes(), (std::vector<int64_t>{0, 2}));
}

}  // namespace gw::test::top_k_cases
