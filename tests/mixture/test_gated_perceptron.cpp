// One unit with the product of its inputs tells what no line separates.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/registry.h"
#include "gatewright/experts/bank.h"
#include "gatewright/ops/random.h"
#include "tests/support/gradcheck.h"

namespace {

std::shared_ptr<gw::Bank> unit(int64_t inputs, const gw::Json& options = gw::Json::object()) {
  auto bank = gw::make_part<gw::Bank>("gated_perceptron", options, gw::Bank::Context{1, inputs, 1, 3});
  bank->to(at::kDouble);
  return bank;
}

/// Share of rows on the right side after gradient descent on the logistic loss; the product's weight held at
/// 0 unless `gated`.
double trained(bool gated) {
  const auto x = at::tensor({-1., -1., -1., 1., 1., -1., 1., 1.}, at::kDouble).view({4, 2});
  const auto y = at::tensor({-1., 1., 1., -1.}, at::kDouble).view({4, 1});
  const auto bank = unit(2);
  const auto names = bank->named_parameters();
  if (!gated) {
    const at::NoGradGuard no_grad;
    names["product"].zero_();
  }
  for (int step = 0; step < 300; ++step) {
    bank->zero_grad();
    at::softplus(-y * bank->forward(x, {0, 4})).mean().backward();
    const at::NoGradGuard no_grad;
    for (const auto& p : names) {
      if (gated || p.key() != "product") p.value().sub_(p.value().grad(), 1.0);
    }
  }
  return (bank->forward(x, {0, 4}) * y).gt(1e-9).to(at::kDouble).mean().item<double>();
}

TEST(GatedPerceptron, TellsXorWhereAPerceptronCannot) {
  EXPECT_EQ(trained(true), 1.0);
  EXPECT_LE(trained(false), 0.75);
}

TEST(GatedPerceptron, IsItsFormulaAndHasGradientsWhereInputsAreZero) {
  for (const char* products : {"all", "pairs"}) {
    const auto bank = unit(3, {{"products", products}, {"activation", "golu"}});
    auto x = gw::ops::normal(gw::Rng(1), {6, 3}, 0, 1).to(at::kDouble);
    x[0][1] = 0, x[1][0] = 0, x[1][2] = 0;
    const auto f = [&](const std::vector<at::Tensor>& in) {
      return std::vector<at::Tensor>{bank->forward(in[0], {0, 6})};
    };
    EXPECT_LT(gw::test::gradient_error(f, {x}), 1e-8) << products;
    const auto names = bank->named_parameters();
    const auto w = names["weight"][0][0], g = names["product"][0][0], b = names["bias"][0][0];
    const auto a = x.select(1, 0), c = x.select(1, 1), d = x.select(1, 2);
    const auto product = products == std::string("all") ? a * c * d : a * c + a * d + c * d;
    const auto sum = at::mv(x, w) + b + g * product;
    const auto want = sum * at::exp(-at::exp(-sum));
    EXPECT_LT((bank->forward(x, {0, 6}).select(1, 0) - want).abs().max().item<double>(), 1e-12) << products;
  }
}

}  // namespace
