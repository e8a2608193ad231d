// Experts with prompts on graphs: losses by hand, routes by losses, what stands still.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/models/graph_blocks.h"
#include "gatewright/models/graph_prompts.h"
#include "gatewright/ops/random.h"
#include "tests/support/gradcheck.h"
#include "tests/support/refusal.h"

namespace gw::test::gmope_cases {

/// Two graphs: nodes 0 to 3 with three edges, nodes 4 to 6 with two.
const at::Tensor kEdge = at::tensor({0, 1, 2, 4, 6, 1, 2, 3, 5, 4}, at::kLong).view({2, 5});

Batch graphs() {
  Batch batch;
  batch.common = graph_common(ops::normal(Rng(1), {7, 3}, 0, 1).to(at::kDouble), kEdge);
  batch.common["graph_offsets"] = at::tensor({0, 4, 7}, at::kLong);
  batch.fields["node"] = at::tensor({0, 3, 5}, at::kLong);
  batch.index = at::arange(3, at::kLong);
  return batch;
}

double softplus(double x) { return std::log1p(std::exp(x)); }

TEST(EdgePrediction, IsItsSumGraphByGraph) {
  const auto nodes = graphs_of(graphs());
  EXPECT_TRUE(nodes.graph.equal(at::tensor({0, 0, 0, 0, 1, 1, 1}, at::kLong)));
  const auto z = ops::normal(Rng(2), {7, 4}, 0, 1).to(at::kDouble);
  const auto wrong = at::tensor({3, 0, 1, 6, 5}, at::kLong);
  const auto loss = edge_prediction_loss(z, kEdge, wrong, nodes);
  double said[] = {0, 0};
  for (int64_t e = 0; e < 5; ++e) {
    const auto score = [&](int64_t v) { return z[kEdge[0][e].item<int64_t>()].dot(z[v]).item<double>() / 2; };
    said[e < 3 ? 0 : 1] +=
        (softplus(-score(kEdge[1][e].item<int64_t>())) + softplus(score(wrong[e].item<int64_t>()))) / 2 /
        (e < 3 ? 3 : 2);
  }
  EXPECT_NEAR(loss[0].item<double>(), said[0], 1e-12);
  EXPECT_NEAR(loss[1].item<double>(), said[1], 1e-12);
  const auto f = [&](const std::vector<at::Tensor>& in) {
    return std::vector<at::Tensor>{edge_prediction_loss(in[0], kEdge, wrong, nodes)};
  };
  EXPECT_LT(gradient_error(f, {z}), 1e-8);
}

TEST(EdgePrediction, WrongEndsStayInTheirGraph) {
  const auto nodes = graphs_of(graphs());
  std::vector<bool> met(7, false);
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const auto wrong = wrong_ends(kEdge, nodes, Rng(seed));
    for (int64_t e = 0; e < 5; ++e) {
      const auto v = wrong[e].item<int64_t>();
      EXPECT_TRUE(e < 3 ? v >= 0 && v < 4 : v >= 4 && v < 7) << v;
      met[static_cast<size_t>(v)] = true;
    }
  }
  EXPECT_EQ(std::count(met.begin(), met.end(), true), 7) << "every node of a graph can be one";
  auto batch = graphs();
  batch.common.erase("graph_offsets");
  EXPECT_EQ(graphs_of(batch).graphs(), 1);
  batch.common["graph_offsets"] = at::tensor({0, 4, 8}, at::kLong);
  expect_part(refusal<ValueError>([&] { graphs_of(batch); }), "from 0 to 7 nodes");
  batch.common["graph_offsets"] = at::tensor({0, 4, 4, 7}, at::kLong);
  expect_part(refusal<ValueError>([&] { graphs_of(batch); }), "nodes in every graph");
}

TEST(Orthogonality, IsZeroForRightAnglesAndCountsPairsTwice) {
  EXPECT_EQ(orthogonality_loss(at::eye(3, at::kDouble) * 5).item<double>(), 0.0);
  EXPECT_NEAR(orthogonality_loss(at::ones({3, 2}, at::kDouble)).item<double>(), 6.0, 1e-12);
  EXPECT_NEAR(mean_cosine(at::tensor({1., 0., -3., 0.}, at::kDouble).view({2, 2})), 1.0, 1e-12);
  EXPECT_EQ(mean_cosine(at::ones({1, 4})), 0.0);
  const auto f = [](const std::vector<at::Tensor>& in) {
    return std::vector<at::Tensor>{orthogonality_loss(in[0])};
  };
  EXPECT_LT(gradient_error(f, {ops::normal(Rng(3), {3, 4}, 0, 1).to(at::kDouble)}), 1e-8);
}

std::shared_ptr<Model> gmope(const Json& options) {
  Model::Context context;
  context.data.inputs = 3, context.data.degree = 2;
  context.answer = {4, false};
  context.seed = 5;
  Json all{{"width", 6}, {"layers", 2}, {"prompt", 2}};
  all.update(options);
  auto made = make_part<Model>("gmope", all, context);
  made->to(at::kDouble);
  return made;
}

Pass pass_of(bool train) {
  Pass pass;
  pass.train = train, pass.rng = Rng(7);
  return pass;
}

TEST(Gmope, RoutesGraphsToThoseWhoPredictTheirEdges) {
  const auto made = gmope({{"k", 2}});
  const auto out = made->answer(graphs(), pass_of(false));
  ASSERT_EQ(out.plans.size(), 1u);
  const auto& plan = out.plans[0].plan;
  EXPECT_EQ(plan.tokens, 2) << "a row of each graph";
  EXPECT_EQ(plan.rows(), 4);
  const auto weight = dense_weights(plan);
  for (int64_t g = 0; g < 2; ++g) {
    const auto worst = plan.scores[g].argmin().item<int64_t>();
    EXPECT_EQ(weight[g][worst].item<double>(), 0.0);
    auto kept = plan.scores[g].clone();
    kept[worst] = -1e9;
    EXPECT_LT((weight[g] - at::softmax(kept / 0.8, 0)).abs().max().item<double>(), 1e-9);
  }
  EXPECT_TRUE(out.answer.exp().sum(1).allclose(at::ones({3}, at::kDouble)));
}

TEST(Gmope, EvaluationWeighsByConfidenceAndTrainingByLosses) {
  const auto made = gmope({{"k", 2}});
  const at::NoGradGuard no_grad;
  for (const bool train : {true, false}) {
    const auto out = made->answer(graphs(), pass_of(train));
    const auto of_graph = dense_weights(out.plans[0].plan).index_select(0, at::tensor({0, 0, 1}, at::kLong));
    at::Tensor sum = at::zeros({3, 4}, at::kDouble), all = at::zeros({3, 1}, at::kDouble);
    for (int64_t m = 0; m < 3; ++m) {
      const auto p = at::softmax(out.use->answers[static_cast<size_t>(m)], 1);
      auto w = of_graph.narrow(1, m, 1);
      if (!train) w = w.gt(0) * (1 + (p * p.log()).sum(1, true) / std::log(4.0));
      sum += w * p, all += w;
    }
    EXPECT_LT((out.answer - (sum / all).log()).abs().max().item<double>(), 1e-9) << train;
  }
}

// A prompt is a further input of every node: its expert is the stack on values and prompt side by side.
TEST(Gmope, AnExpertIsItsStackOnValuesAndPrompt) {
  const auto made = gmope({{"experts", 1}, {"k", 1}});
  const at::NoGradGuard no_grad;
  auto batch = graphs();
  batch.fields["node"] = at::arange(7, at::kLong);
  GraphForm form;
  form.width = 6, form.layers = 2, form.dropout = 0, form.norm = false;
  GraphStack stack(form, 5, 6, Rng(0));
  stack.to(at::kDouble);
  const auto p = made->named_parameters();
  for (auto& item : stack.named_parameters()) item.value().copy_(p["expert0." + item.key()]);
  const auto lists = edge_lists(batch);
  const auto z =
      stack.forward(at::cat({batch.whole("x"), p["prompts"].expand({7, 2})}, 1), &lists, false, Rng(0));
  const auto said = at::log_softmax(at::matmul(z, p["head.weight"].t()) + p["head.bias"], 1);
  EXPECT_LT((made->answer(batch, pass_of(false)).answer - said).abs().max().item<double>(), 1e-9);
}

TEST(Gmope, LossesTeachWhatLearns) {
  for (const std::string tune : {"all", "prompts", "head"}) {
    const auto made = gmope({{"tune", tune}, {"edges", tune == "all"}});
    const auto out = made->answer(graphs(), pass_of(true));
    auto loss = at::nll_loss(out.answer, at::tensor({0, 1, 2}, at::kLong));
    for (const auto& item : out.plans[0].plan.aux) loss = loss + item.second;
    EXPECT_EQ(out.plans[0].plan.aux.count("edge_prediction"), tune == "all" ? 1u : 0u);
    for (const auto& item : made->named_parameters()) {
      const bool stack = item.key().rfind("expert", 0) == 0, head = item.key().rfind("head", 0) == 0;
      EXPECT_EQ(item.value().requires_grad(), head || tune == "all" || (tune == "prompts" && !stack))
          << item.key();
    }
    if (tune == "all") {
      EXPECT_EQ(made->trained_share(), 1.0);
    } else {
      EXPECT_LT(made->trained_share(), 0.5);
    }
    const auto named = made->named_parameters();
    if (tune != "prompts") continue;
    const auto gradient = torch::autograd::grad({loss}, {named["prompts"]});
    EXPECT_GT(gradient[0].abs().max().item<double>(), 0.0);
  }
}

TEST(Gmope, ThePromptsGradientIsTheDerivative) {
  // The weights by the losses carry no gradient: held still by a temperature at which they do not move.
  const auto still = gmope({{"tune", "prompts"}, {"k", 3}, {"temperature", 1000.0}});
  auto p = still->named_parameters()["prompts"];
  const auto value = [&] { return project({still->answer(graphs(), pass_of(true)).answer}); };
  const auto gradient = torch::autograd::grad({value()}, {p})[0].contiguous();
  const at::NoGradGuard no_grad;
  for (int64_t i = 0; i < p.numel(); ++i)
    EXPECT_LT(difference_error(
                  p.data_ptr<double>()[i], gradient.data_ptr<double>()[i],
                  [&] { return value().item<double>(); }, 1e-5),
              1e-3)
        << i;
}

TEST(Gmope, RefusesWhatDoesNotFit) {
  expect_part(refusal<ValueError>([] { gmope({{"kind", "mlp"}}); }), "experts that see edges");
  expect_part(refusal<ValueError>([] { gmope({{"k", 4}}); }), "\"k\" up to 3 experts, got 4");
  expect_part(refusal<ValueError>([] { gmope({{"tune", "prompt"}}); }), "did you mean \"prompts\"?");
  expect_part(refusal<ValueError>([] {
                make_part<Model>("gmope", Json::object(), {DataSpec{}, {3, false}, 1});
              }),
              "take graph or graph_families");
}

}  // namespace gw::test::gmope_cases
