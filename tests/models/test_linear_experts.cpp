// Linear experts: the likelihood of a mixture, experts that come and go, exact Shapley values.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/registry.h"
#include "gatewright/models/growing.h"
#include "gatewright/models/model.h"
#include "gatewright/models/shapley.h"
#include "gatewright/ops/random.h"
#include "tests/support/refusal.h"

namespace gw::test::linear_experts_cases {

std::shared_ptr<Model> made(const Json& options, int64_t inputs = 5, int64_t classes = 2) {
  Model::Context context;
  context.data.inputs = inputs, context.answer.width = classes, context.seed = 7;
  auto model = make_part<Model>("linear_experts", options, context);
  model->to(at::kDouble);
  const at::NoGradGuard no_grad;
  for (auto& item : model->named_parameters())
    item.value().copy_(ops::normal(Rng(3).fork(item.key()), item.value().sizes(), 0, 1));
  return model;
}

Batch rows(const at::Tensor& x) {
  Batch batch;
  batch.fields["x"] = x, batch.index = at::arange(x.size(0), at::kLong);
  return batch;
}

at::Tensor parameter(const Model& model, const std::string& name) {
  return *model.named_parameters().find(name);
}

const at::Tensor kX = ops::normal(Rng(1), {4, 5}, 0, 1).to(at::kDouble);

TEST(LinearExperts, CrossEntropyIsTheCompetitiveLikelihood) {
  const auto model = made({{"experts", 3}, {"most", 4}});
  const auto answer = model->answer(rows(kX), {}).answer;
  const auto w = parameter(*model, "weight"), c = parameter(*model, "bias");
  const auto v = parameter(*model, "router.weight"), u = parameter(*model, "router.bias");
  for (int64_t b = 0; b < 4; ++b) {
    const auto share = at::softmax(kX[b].matmul(v.narrow(1, 0, 3)) + u.narrow(0, 0, 3), 0);
    auto p = at::zeros({2}, at::kDouble);
    for (int64_t e = 0; e < 3; ++e) p += share[e] * at::softmax(kX[b].matmul(w[e]) + c[e], 0);
    EXPECT_LT((answer[b].exp() - p).abs().max().item<double>(), 1e-12);
  }
  EXPECT_EQ(model->router_parameters().size(), 2u);
}

TEST(LinearExperts, ANewExpertCopiesAndTakesAnEvenShare) {
  const auto model = made({{"experts", 2}, {"most", 3}, {"noise", 0.0}});
  auto* growing = dynamic_cast<GrowingExperts*>(model.get());
  ASSERT_NE(growing, nullptr);
  const auto before = model->answer(rows(at::zeros({1, 5}, at::kDouble)), {});
  EXPECT_TRUE(growing->grow(1, Rng(2)));
  EXPECT_EQ(growing->experts(), 3);
  const auto after = model->answer(rows(at::zeros({1, 5}, at::kDouble)), {});
  EXPECT_NEAR(after.use->gates[0].weight[0][2].item<double>(), 1.0 / 3, 1e-12) << "at a row of zeros";
  EXPECT_LT((after.use->answers[2] - before.use->answers[1]).abs().max().item<double>(), 1e-12);
  EXPECT_FALSE(growing->grow(0, Rng(2))) << "full";
  growing->drop(0), growing->drop(0);
  EXPECT_EQ(growing->experts(), 1);
  EXPECT_EQ(model->answer(rows(kX), {}).use->experts, std::vector<std::string>{"expert2"});
  expect_part(refusal<ValueError>([&] { growing->drop(0); }), "the last one");
  expect_part(refusal<ValueError>([] { made({{"experts", 5}, {"most", 4}}); }), "at most most = 4");
}

TEST(LinearExperts, AttributionsAreShapleyValuesOfTheHeldGate) {
  constexpr int64_t kInputs = 8;
  const auto model = made({{"experts", 3}, {"most", 5}}, kInputs);
  const auto* explained = dynamic_cast<const Attributing*>(model.get());
  ASSERT_NE(explained, nullptr);
  const auto x = ops::normal(Rng(4), {3, kInputs}, 0, 1).to(at::kDouble);
  const auto mean = ops::normal(Rng(5), {kInputs}, 0, 1).to(at::kDouble);
  const auto fast = explained->attributions(x, mean).detach();
  const auto w = parameter(*model, "weight").detach(), c = parameter(*model, "bias").detach();
  for (int64_t b = 0; b < x.size(0); ++b) {
    const auto share = model->answer(rows(x.narrow(0, b, 1)), {}).use->gates[0].weight.detach()[0];
    const auto value = [&](const at::Tensor& r) {  // the log odds of each expert, weighed as at x
      auto sum = at::zeros({r.size(0)}, at::kDouble);
      for (int64_t e = 0; e < 3; ++e) {
        const auto logits = r.matmul(w[e]) + c[e];
        sum += share[e] * (logits.select(1, 1) - logits.select(1, 0));
      }
      return sum;
    };
    EXPECT_LT((fast[b] - shapley_values(value, x[b], mean)).abs().max().item<double>(), 1e-8);
    const auto whole = value(x.narrow(0, b, 1)) - value(mean.unsqueeze(0));
    EXPECT_NEAR(fast[b].sum().item<double>(), whole.item<double>(), 1e-10) << "they add up";
  }
}

// Of three classes the score of the answered one over the mean of all.
TEST(LinearExperts, AttributionsOfMoreClassesExplainTheAnsweredOne) {
  constexpr int64_t kInputs = 6;
  const auto model = made({{"experts", 3}, {"most", 5}}, kInputs, 3);
  const auto x = ops::normal(Rng(6), {4, kInputs}, 0, 1).to(at::kDouble);
  const auto mean = ops::normal(Rng(7), {kInputs}, 0, 1).to(at::kDouble);
  const auto fast = dynamic_cast<const Attributing&>(*model).attributions(x, mean).detach();
  const auto w = parameter(*model, "weight").detach(), c = parameter(*model, "bias").detach();
  for (int64_t b = 0; b < x.size(0); ++b) {
    const auto share = model->answer(rows(x.narrow(0, b, 1)), {}).use->gates[0].weight.detach()[0];
    auto chance = at::zeros({3}, at::kDouble);
    for (int64_t e = 0; e < 3; ++e) chance += share[e] * (x[b].matmul(w[e]) + c[e]).softmax(0);
    const auto answered = chance.argmax().item<int64_t>();
    const auto value = [&](const at::Tensor& r) {
      auto sum = at::zeros({r.size(0)}, at::kDouble);
      for (int64_t e = 0; e < 3; ++e) {
        const auto logits = r.matmul(w[e]) + c[e];
        sum += share[e] * (logits.select(1, answered) - logits.mean(1));
      }
      return sum;
    };
    EXPECT_LT((fast[b] - shapley_values(value, x[b], mean)).abs().max().item<double>(), 1e-8) << b;
  }
}

TEST(Shapley, AGameOfThreeHasTheValuesOfTheBook) {
  // v(S) = product of the two first, plus the third: the two share their product evenly.
  const auto value = [](const at::Tensor& r) { return r.select(1, 0) * r.select(1, 1) + r.select(1, 2); };
  const auto got =
      shapley_values(value, at::tensor({2.0, 3.0, 5.0}, at::kDouble), at::zeros({3}, at::kDouble));
  EXPECT_LT((got - at::tensor({3.0, 3.0, 5.0}, at::kDouble)).abs().max().item<double>(), 1e-12);
  expect_part(refusal<ValueError>([&] { shapley_values(value, at::zeros({30}), at::zeros({30})); }),
              "1 to 20 inputs");
}

}  // namespace gw::test::linear_experts_cases
