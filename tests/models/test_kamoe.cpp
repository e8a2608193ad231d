// Spline and residual banks, and the network of layers that are mixtures, against their equations.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/registry.h"
#include "gatewright/experts/bank.h"
#include "gatewright/models/model.h"
#include "gatewright/ops/random.h"
#include "gatewright/ops/spline.h"
#include "gatewright/routing/gate.h"
#include "tests/support/gradcheck.h"
#include "tests/support/refusal.h"

namespace gw::test::kamoe_cases {

std::shared_ptr<Bank> bank(const std::string& name, const Json& options = Json::object(), int64_t out = 4) {
  auto made = make_part<Bank>(name, options, {2, 3, out, 5});
  made->to(at::kDouble);
  return made;
}

std::shared_ptr<Model> network(Json options, int64_t inputs = 4) {
  DataSpec data;
  data.inputs = inputs;
  if (!options.contains("width")) options["width"] = 5;
  return make_part<Model>("kamoe", options, {data, {2, false}, 3});
}

Pass evaluation() {
  Pass pass;
  pass.train = false;
  return pass;
}

TEST(KanBank, IsItsLayersWrittenOut) {
  const auto two = bank("kan", {{"hidden", 6}, {"grid", 5}, {"range", 2.0}});
  const ops::SplineGrid grid{5, 3, 2.0};
  const auto x = ops::normal(Rng(1), {7, 3}, 0, 1).to(at::kDouble);
  const auto p = two->named_parameters();
  const auto layer = [&](const at::Tensor& h, const std::string& place, int64_t e) {
    return at::matmul(at::silu(h), p["base" + place][e].t()) +
           at::matmul(ops::b_splines(h, grid), p["spline" + place][e].t()) + p["bias" + place][e];
  };
  const auto expected = layer(layer(x, "1", 1), "2", 1);
  EXPECT_TRUE(two->run_one(x, 1).allclose(expected, 1e-9, 1e-9));
  // Rows of expert 0 and of expert 1, sorted.
  const auto all = two->forward(x, {0, 3, 7});
  EXPECT_TRUE(all.narrow(0, 3, 4).allclose(expected.narrow(0, 3, 4), 1e-9, 1e-9));
  EXPECT_FALSE(all.narrow(0, 0, 3).allclose(expected.narrow(0, 0, 3)));
  EXPECT_FALSE(bank("kan", {{"bias", false}})->named_parameters().contains("bias1"));
}

TEST(KanBank, LearnsAKinkThatItsBaseCannot) {
  // One layer of an identity base is linear without its splines; |x| is within the splines' reach.
  const auto one = make_part<Bank>("kan", {{"base", "identity"}, {"grid", 8}}, Bank::Context{1, 1, 1, 2});
  const auto x = at::linspace(-1, 1, 81).unsqueeze(1);
  const auto basis = at::cat({x, ops::b_splines(x, {8, 3, 1})}, 1);
  const auto best = std::get<0>(at::linalg_lstsq(basis.to(at::kDouble), x.abs().to(at::kDouble)));
  const at::NoGradGuard no_grad;
  auto p = one->named_parameters();
  p["base1"].copy_(best.narrow(0, 0, 1).view({1, 1, 1}));
  p["spline1"].copy_(best.narrow(0, 1, 11).view({1, 1, 11}));
  EXPECT_LT((one->run_one(x, 0) - x.abs()).abs().max().item<double>(), 0.06);
}

// Fails if the block and the gate of the same equations part ways.
TEST(GrkanBank, IsTheGateAsExperts) {
  for (const char* layers : {"kan", "dense"}) {
    const auto block =
        make_part<Bank>("grkan", {{"layers", layers}, {"hidden", 3}}, Bank::Context{1, 4, 2, 7});
    const auto gate = make_part<Gate>("grkan", {{"layers", layers}, {"hidden", 3}}, Gate::Context{4, 2, 9});
    const at::NoGradGuard no_grad;
    auto from = block->named_parameters();
    for (auto& item : gate->named_parameters()) item.value().copy_(from[item.key()][0]);
    const auto x = ops::normal(Rng(2), {6, 4}, 0, 1);
    EXPECT_TRUE(block->run_one(x, 0).allclose(gate->forward(x), 1e-5, 1e-6)) << layers;
  }
  expect_part(refusal<ValueError>([] { bank("grkan", Json::object(), 1); }), "the norm over one is constant");
}

TEST(Banks, GradientsOfTheNewOnesAreTheDerivatives) {
  for (const auto& [name, options] :
       std::vector<std::pair<std::string, Json>>{{"layer", {{"activation", "tanh"}}},
                                                 {"kan", {{"hidden", 3}}},
                                                 {"grkan", {{"layers", "kan"}}},
                                                 {"grkan", {{"layers", "dense"}, {"activation", "tanh"}}}}) {
    const auto made = bank(name, options);
    const auto x = ops::normal(Rng(6), {5, 3}, 0, 0.7).to(at::kDouble);
    const auto loss = [&] { return project({made->forward(x, {0, 2, 5})}); };
    for (auto& item : made->named_parameters()) {
      auto& p = item.value();
      const auto gradient = torch::autograd::grad({loss()}, {p})[0].contiguous();
      const at::NoGradGuard no_grad;
      for (int64_t i = 0; i < p.numel(); ++i)
        EXPECT_LT(difference_error(p.data_ptr<double>()[i], gradient.data_ptr<double>()[i],
                                   [&] { return loss().item<double>(); }),
                  1e-6)
            << name << " " << item.key() << " " << i;
    }
  }
}

TEST(Kamoe, ALayerIsTheWeightedSumOfItsExperts) {
  const auto model = network(Json::object());
  const auto batch = model->example(6, Rng(4));
  const auto out = model->answer(batch, evaluation());
  const auto weight = dense_weights(out.plans.at(0).plan);
  EXPECT_EQ(weight.size(1), 3);
  EXPECT_GT((weight.sum(1) - 1).abs().max().item<double>(), 1e-3) << "sigmoids do not sum to one";
  const auto p = model->named_parameters();
  const at::NoGradGuard no_grad;
  auto sum = at::zeros({6, 5});
  for (int64_t e = 0; e < 3; ++e)
    sum = sum + weight.narrow(1, e, 1) *
                    at::relu(at::linear(batch.at("x"), p["layer0.bank.weight"][e], p["layer0.bank.bias"][e]));
  const auto expected = at::linear(sum, p["head.weight"], p["head.bias"]);
  EXPECT_TRUE(out.answer.allclose(expected, 1e-4, 1e-5));
  EXPECT_GT(model->router_parameters().size(), 0u);
}

// The counts of the published notebooks: a gated layer of 3 experts and 25 hidden values over 8 inputs has 1
// 132 parameters with the dense gate, their head included.
TEST(Kamoe, HasAsManyParametersAsPublished) {
  DataSpec data;
  data.inputs = 8;
  const Json dense{{"width", 25}, {"gate", {{"part", "grkan"}, {"layers", "dense"}}}};
  const auto moe = make_part<Model>("kamoe", dense, {data, {1, false}, 3});
  // Theirs have two biases of 3 in the gate's hidden layers, ours none.
  EXPECT_EQ(moe->parameter_count(), 1132 - 6);
}

TEST(Kamoe, OneExpertHasNoGate) {
  const auto model = network({{"experts", 1}, {"depth", 2}});
  EXPECT_FALSE(model->routed());
  EXPECT_TRUE(model->answer(model->example(3, Rng(1)), evaluation()).plans.empty());
}

TEST(Kamoe, TakesAnyBankGateAndPolicy) {
  for (const char* part : {"kan", "grkan", "mlp"}) {
    const auto model = network({{"bank", part},
                                {"depth", 2},
                                {"gate", "linear"},
                                {"policy", {{"part", "softmax_top_k"}, {"k", 2}}}});
    auto pass = evaluation();
    pass.train = true;
    const auto out = model->answer(model->example(64, Rng(2)), pass);
    EXPECT_EQ(out.plans.size(), 2u);
    out.answer.square().sum().backward();
    for (const auto& item : model->named_parameters())
      EXPECT_TRUE(item.value().grad().defined()) << part << " " << item.key();
  }
  expect_part(refusal<ValueError>([] { network({{"policy", "soft_moe"}}); }), "which mixes rows");
  expect_part(refusal<ValueError>([] { network({{"gate", "cnn"}}); }), "got gates/cnn over images");
}

}  // namespace gw::test::kamoe_cases
