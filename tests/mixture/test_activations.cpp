// Every activation of the catalogue in banks/mlp: forward and backward, plain and gated, in every dtype.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/error.h"
#include "gatewright/base/registry.h"
#include "gatewright/experts/bank.h"
#include "gatewright/ops/activation_function.h"
#include "gatewright/ops/random.h"

namespace {

constexpr int64_t kExperts = 3, kWidth = 8;
const std::vector<int64_t> kOffsets{0, 6, 6, 15};  // one expert has no rows

std::shared_ptr<gw::Bank> bank(const gw::Json& more) {
  gw::Json options{{"hidden", 24}};
  options.update(more);
  return gw::make_part<gw::Bank>("mlp", options, gw::Bank::Context{kExperts, kWidth, 5, 7});
}

at::Tensor rows(at::ScalarType type) { return gw::ops::normal(gw::Rng(3), {15, kWidth}, 0, 2).to(type); }

class InMlp : public testing::TestWithParam<std::string> {};

TEST_P(InMlp, FusedEqualsExpertByExpertForwardAndBackward) {
  for (const bool glu : {false, true}) {
    for (const auto& [type, tolerance] : std::vector<std::pair<at::ScalarType, double>>{
             {at::kDouble, 1e-12}, {at::kFloat, 1e-5}, {at::kBFloat16, 0.05}}) {
      if (GetParam() == "sine" && type == at::kBFloat16) continue;  // rounded products turn 30·x
      const auto b = bank({{"activation", GetParam()}, {"glu", glu}});
      b->to(type);
      const auto run = [&](bool fused) {
        auto x = rows(type).requires_grad_(true);
        at::Tensor y;
        if (fused) {
          y = b->forward(x, kOffsets);
        } else {
          std::vector<at::Tensor> parts;
          for (int64_t e = 0; e < kExperts; ++e) {
            const auto first = kOffsets[static_cast<size_t>(e)];
            parts.push_back(b->run_one(x.narrow(0, first, kOffsets[static_cast<size_t>(e) + 1] - first), e));
          }
          y = at::cat(parts);
        }
        b->zero_grad();
        y.to(at::kDouble).square().sum().backward();
        std::vector<at::Tensor> out{y, x.grad()};
        for (const auto& p : b->named_parameters()) out.push_back(p.value().grad().clone());
        return out;
      };
      const auto fused = run(true), single = run(false);
      for (size_t i = 0; i < fused.size(); ++i) {
        const auto got = fused[i].to(at::kDouble), want = single[i].to(at::kDouble);
        ASSERT_TRUE(at::isfinite(got).all().item<bool>()) << i << glu << type;
        // Means: where rounding takes a product over a kink one gradient differs by all of itself.
        EXPECT_LT((got - want).abs().mean().item<double>(),
                  tolerance * std::max(0.1, want.abs().mean().item<double>()))
            << i << glu << type;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, InMlp, testing::ValuesIn(gw::ops::activation_names()),
                         [](const auto& name) { return name.param; });

TEST(Mlp, LearnsTheParametersOfAnActivationForEachExpert) {
  const auto b = bank({{"activation", "xatlu(alpha=0.25)"}});
  const auto parameters = b->named_parameters();
  const auto* alpha = parameters.find("activation");
  ASSERT_NE(alpha, nullptr);
  EXPECT_EQ(alpha->sizes(), (std::vector<int64_t>{kExperts, 1}));
  EXPECT_EQ(alpha->min().item<float>(), 0.25f);
  b->forward(rows(at::kFloat), kOffsets).square().sum().backward();
  EXPECT_NE(alpha->grad()[0].item<float>(), 0);
  EXPECT_EQ(alpha->grad()[1].item<float>(), 0) << "an expert without rows learns nothing";

  EXPECT_EQ(
      bank({{"activation", "xatlu"}, {"learn_activation", false}})->named_parameters().find("activation"),
      nullptr);
  EXPECT_EQ(bank({{"activation", "golu"}})->named_parameters().find("activation"), nullptr)
      << "GoLU's paper trains none";
}

TEST(Mlp, TakesParametersFromTheText) {
  const auto x = rows(at::kFloat);
  const auto y = [&](const char* text) { return bank({{"activation", text}})->forward(x, kOffsets); };
  EXPECT_TRUE(y("leaky_relu").equal(y("leaky_relu(slope=0.01)")));
  EXPECT_FALSE(y("leaky_relu").equal(y("leaky_relu(slope=0.3)")));
  EXPECT_TRUE(y("gelu_new").equal(y("gelu_tanh"))) << "an alias";
  EXPECT_TRUE(y("leaky_relu(slope=0)").sub(y("relu")).abs().max().item<float>() < 1e-5);
}

TEST(Mlp, RefusesAnUnknownActivationWithTheNearMiss) {
  try {
    bank({{"activation", "gleu"}});
    FAIL() << "accepted";
  } catch (const gw::ValueError& error) {
    EXPECT_EQ(std::string(error.what()), "banks/mlp: unknown activation \"gleu\"; did you mean \"gelu\"?");
  }
}

}  // namespace
