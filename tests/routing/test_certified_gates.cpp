// Gates that bound their scores: every bounded gate of the catalogue, and what others say.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "tests/routing/parts.h"

namespace gw::test::certified_gates_cases {

class BoundedGates : public testing::TestWithParam<std::string> {};

at::Tensor images(uint64_t seed, int64_t n) {
  return gw::ops::uniform(gw::Rng(seed), {n, kWidth, 16, 16}, 0, 1);
}

TEST_P(BoundedGates, NoImageOfTheBallIsBelowTheBounds) {
  const auto part = gate(GetParam());
  part->eval();
  const at::NoGradGuard no_grad;
  EXPECT_EQ(part->bounded(), has_trait("gates", GetParam(), "certified"));
  const auto x = part->takes_images() ? images(1, 6) : at::zeros({6, kWidth});
  const auto radius = at::full({6}, 0.05, at::kDouble);
  if (!part->bounded()) {
    expect_refusal([&] { part->lead_bounds(x, at::zeros({6}, at::kLong), radius); },
                   "expected a gate that bounds its scores");
    return;
  }
  const auto first = part->forward(x).argmax(1);
  const auto leads = part->lead_bounds(x.to(at::kDouble), first, radius);
  EXPECT_EQ(leads.sizes(), (std::vector<int64_t>{6, kExperts}));
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    auto move = gw::ops::uniform(gw::Rng(seed), x.sizes(), -1, 1);
    if (seed % 2 == 0) move = move.sign();
    const auto scores = part->forward((x + 0.05 * move).clamp(0, 1));
    const auto lead = scores.gather(1, first.unsqueeze(1)) - scores;
    EXPECT_TRUE(leads.le(lead.to(at::kDouble) + 1e-6).all().item<bool>()) << "draw " << seed;
  }
  const auto at_zero = part->lead_bounds(x.to(at::kDouble), first, at::zeros({6}, at::kDouble));
  const auto scores = part->forward(x);
  EXPECT_LT((at_zero - (scores.gather(1, first.unsqueeze(1)) - scores)).abs().max().item<double>(), 1e-3);
  EXPECT_TRUE(at_zero.ge(leads).all().item<bool>()) << "a larger ball cannot have larger leads";
}

INSTANTIATE_TEST_SUITE_P(All, BoundedGates, testing::ValuesIn(names("gates")), kPartName);

TEST(CertifiedGate, WithoutLayersIsLinearInThePixels) {
  const auto part = gate("certified", {{"layers", 0}, {"grid", 16}});
  const auto weight = part->named_parameters()["head_weight"];
  EXPECT_EQ(weight.size(1), kWidth * 16 * 16);
  const auto x = images(2, 3);
  EXPECT_LT((part->forward(x) - at::linear(x.flatten(1), weight)).abs().max().item<double>(), 1e-5);
}

}  // namespace gw::test::certified_gates_cases
