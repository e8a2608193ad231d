// Layers over whole graphs: formulas by dense matrices, gradients in f64, confidence by hand.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/registry.h"
#include "gatewright/models/dispersion.h"
#include "gatewright/models/graph_blocks.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/random.h"
#include "tests/support/gradcheck.h"
#include "tests/support/refusal.h"

namespace gw::test::graph_cases {

/// 0 → 1, 0 → 2, 2 → 1, 3 → 3, and twice 1 → 0.
const at::Tensor kEdge = at::tensor({0, 0, 2, 3, 1, 1, 1, 2, 1, 3, 0, 0}, at::kLong).view({2, 6});

at::Tensor dense() {
  auto a = at::zeros({5, 5}, at::kDouble);
  for (int64_t e = 0; e < 6; ++e) a[kEdge[1][e].item<int64_t>()][kEdge[0][e].item<int64_t>()] += 1;
  return a;
}

TEST(NeighbourSum, IsTheProductWithTheMatrixOfEdges) {
  const auto lists = ops::make_edge_lists(kEdge, 5);
  const auto x = ops::normal(Rng(1), {5, 3}, 0, 1).to(at::kDouble);
  EXPECT_LT((ops::neighbour_sum(x, lists) - at::matmul(dense(), x)).abs().max().item<double>(), 1e-12);
  const auto f = [&](const std::vector<at::Tensor>& in) {
    return std::vector<at::Tensor>{ops::neighbour_sum(in[0], lists)};
  };
  EXPECT_LT(gradient_error(f, {x}), 1e-8);
  const ops::CostRecorder recorder;
  ops::neighbour_sum(x, lists);
  EXPECT_EQ(recorder.macs(), 18) << "an addition for each edge and value";
}

TEST(NeighbourSum, BadEdgesAndValuesAreNamed) {
  expect_part(refusal<ValueError>([] { ops::make_edge_lists(kEdge, 3); }),
              "expected nodes below 3, got edge 3 from 3 to 3");
  expect_part(refusal<ValueError>([] { ops::make_edge_lists(kEdge.to(at::kFloat), 5); }), "int64");
  const auto lists = ops::make_edge_lists(kEdge, 5);
  expect_part(refusal<ValueError>([&] {
                ops::neighbour_sum(at::zeros({4, 2}), lists);
              }),
              "expected values [5, D]");
  expect_part(refusal<ValueError>([&] {
                ops::neighbour_sum(at::zeros({5, 2}, at::kLong), lists);
              }),
              "f32 or f64");
}

std::shared_ptr<GraphStack> stack(const std::string& kind, int64_t layers, int64_t in = 3, int64_t out = 2) {
  GraphForm form;
  form.kind = kind, form.width = 4, form.layers = layers, form.dropout = 0;
  auto made = std::make_shared<GraphStack>(form, in, out, Rng(5));
  made->to(at::kDouble);
  return made;
}

TEST(GraphStack, OneLayerOfEachKindIsItsFormula) {
  const auto lists = ops::make_edge_lists(kEdge, 5);
  const auto a = dense(), x = ops::normal(Rng(1), {5, 3}, 0, 1).to(at::kDouble),
             eye = at::eye(5, at::kDouble);
  for (const int64_t out : {2, 6}) {  // narrower than the values and wider: two orders of the products
    auto gcn = stack("gcn", 1, 3, out);
    auto p = gcn->named_parameters();
    const auto s = at::diag(a.sum(1).add(1).rsqrt());
    const auto said = at::matmul(s.mm(a + eye).mm(s), at::matmul(x, p["weight0"].t())) + p["bias0"];
    EXPECT_LT((gcn->forward(x, &lists, false, Rng(0)) - said).abs().max().item<double>(), 1e-12) << out;
  }
  auto sage = stack("sage", 1);
  auto p = sage->named_parameters();
  const auto mean = at::matmul(a, x) / a.sum(1, true).clamp_min(1);
  const auto sage_said = at::matmul(x, p["weight0"].t()) + p["bias0"] + at::matmul(mean, p["second0"].t());
  EXPECT_LT((sage->forward(x, &lists, false, Rng(0)) - sage_said).abs().max().item<double>(), 1e-12);
  auto gin = stack("gin", 1);
  p = gin->named_parameters();
  const auto h =
      at::relu(at::matmul(x * (1 + p["epsilon0"]) + at::matmul(a, x), p["weight0"].t()) + p["bias0"]);
  const auto gin_said = at::matmul(h, p["second0"].t()) + p["second_bias0"];
  EXPECT_LT((gin->forward(x, &lists, false, Rng(0)) - gin_said).abs().max().item<double>(), 1e-12);
}

TEST(GraphStack, GradientsAreThoseOfDifferences) {
  const auto lists = ops::make_edge_lists(kEdge, 5);
  const auto x = ops::normal(Rng(1), {5, 3}, 0, 1).to(at::kDouble);
  for (const auto* kind : {"mlp", "gcn", "sage", "gin"}) {
    const auto made = stack(kind, 2);
    const auto f = [&](const std::vector<at::Tensor>& in) {
      return std::vector<at::Tensor>{made->forward(in[0], &lists, true, Rng(0))};
    };
    EXPECT_LT(gradient_error(f, {x}), 1e-6) << kind;
  }
}

// Some nodes alone: what they depend on within as many steps as there are layers, and nothing else.
TEST(GraphStack, SomeNodesAloneAreThoseOfTheWhole) {
  const int64_t count = 60;
  const auto edge = (ops::uniform(Rng(7), {2, 90}, 0, 1) * count).to(at::kLong).clamp_max(count - 1);
  const auto lists = ops::make_edge_lists(edge, count);
  const auto x = ops::normal(Rng(1), {count, 3}, 0, 1).to(at::kDouble);
  const auto asked = at::tensor({17, 3, 59, 3}, at::kLong);
  for (const auto* kind : {"mlp", "gcn", "sage", "gin"}) {
    for (int64_t layers = 1; layers <= 3; ++layers) {
      for (const int64_t out : {2, 6}) {
        const auto made = stack(kind, layers, 3, out);
        for (auto& buffer : made->named_buffers())
          if (buffer.value().is_floating_point()) buffer.value().uniform_(0.5, 1.5);
        const auto whole = made->forward(x, &lists, false, Rng(0)).index_select(0, asked);
        const auto alone = made->at_nodes(x, &lists, asked);
        EXPECT_LT((alone - whole).abs().max().item<double>(), 1e-12) << kind << layers << out;
      }
    }
  }
  expect_part(refusal<ValueError>([&] { stack("gcn", 1)->at_nodes(x, &lists, at::tensor({60}, at::kLong)); }),
              "expected nodes below 60, got 60");
}

TEST(NodeField, HoldsWhatANodeHearsAndCountsNoMore) {
  // 4 ← 3 ← 2 ← 1 ← 0, and 5 ← 0.
  const auto lists =
      ops::make_edge_lists(at::tensor({3, 2, 1, 0, 0, 4, 3, 2, 1, 5}, at::kLong).view({2, 5}), 6);
  const auto field = ops::node_field(lists, at::tensor({4}, at::kLong), 2);
  EXPECT_TRUE(field.node.equal(at::tensor({4, 3, 2}, at::kLong)));
  EXPECT_EQ(field.count, (std::vector<int64_t>{3, 2, 1}));
  EXPECT_TRUE(field.degree.eq(1).all().item<bool>());
  const auto x = at::tensor({10.0, 20.0, 40.0}, at::kDouble).view({3, 1});
  const ops::CostRecorder recorder;
  EXPECT_TRUE(ops::field_sum(x, field, 2).equal(at::tensor({20.0, 40.0}, at::kDouble).view({2, 1})));
  EXPECT_EQ(recorder.macs(), 2);
}

TEST(GraphStack, KindsThatSeeEdgesWantThem) {
  expect_part(refusal<ValueError>([] {
                stack("gcn", 2)->forward(at::zeros({5, 3}, at::kDouble), nullptr, false, Rng(0));
              }),
              "expected edges for layers of kind \"gcn\"");
}

TEST(Dispersion, IsOneForOneClassAndZeroForEvenOnes) {
  const auto z = at::tensor({0.0, 0.0, 0.0, 200.0, 0.0, 0.0}, at::kDouble).view({2, 3});
  const auto d = dispersion(z);
  EXPECT_LT(d[0].abs().max().item<double>(), 1e-12);
  EXPECT_LT((d[1] - 1).abs().max().item<double>(), 1e-9) << "variance over that of a one-hot answer";
  const auto f = [](const std::vector<at::Tensor>& in) { return std::vector<at::Tensor>{dispersion(in[0])}; };
  EXPECT_LT(gradient_error(f, {ops::normal(Rng(1), {4, 3}, 0, 1).to(at::kDouble)}), 1e-8);
  expect_part(refusal<ValueError>([] { dispersion(at::zeros({2, 1})); }), "at least 2 classes");
}

std::shared_ptr<Model> mowst(const Json& options) {
  Model::Context context;
  context.data.inputs = 3, context.data.degree = 2;
  context.answer = {4, false};
  auto made = make_part<Model>("mowst", options, context);
  made->to(at::kDouble);
  return made;
}

Batch nodes(const Model& made, int64_t count) {
  auto batch = made.example(count, Rng(3));
  batch.common["x"] = batch.common["x"].to(at::kDouble);
  return batch;
}

TEST(Mowst, TrainingMixesLogitsAndEvaluationProbabilities) {
  const auto made = mowst({{"dropout", 0.0}});
  auto batch = nodes(*made, 7);
  batch.fields["node"] = at::tensor({4, 1}, at::kLong);
  Pass pass;
  for (const bool train : {true, false}) {
    pass.train = train;
    const auto out = made->answer(batch, pass);
    const auto& use = *out.use;
    const auto c = use.gates[0].weight;
    EXPECT_EQ(out.answer.size(0), 2) << "the nodes that were asked about";
    EXPECT_LT((c.sum(1) - 1).abs().max().item<double>(), 1e-12);
    const auto w = c.narrow(1, 0, 1), s = c.narrow(1, 1, 1);
    const auto said = train
                          ? w * use.answers[0] + s * use.answers[1]
                          : at::log(w * at::softmax(use.answers[0], 1) + s * at::softmax(use.answers[1], 1));
    EXPECT_LT((out.answer - said).abs().max().item<double>(), 1e-12);
  }
}

TEST(Mowst, TheGateTeachesTheWeakExpertThroughItsDispersion) {
  const auto made = mowst({{"dropout", 0.0}});
  const auto named = made->named_parameters();
  Pass pass;
  pass.train = true;
  const auto out = made->answer(nodes(*made, 9), pass);
  const auto gradient =
      torch::autograd::grad({out.use->gates[0].weight.select(1, 0).sum()}, named.values(), {}, {}, {}, true);
  for (size_t i = 0; i < gradient.size(); ++i) {
    if (named[i].key() != "weak.weight0") continue;
    ASSERT_TRUE(gradient[i].defined());
    EXPECT_GT(gradient[i].abs().max().item<double>(), 0.0);
  }
}

TEST(Mowst, WhereTheWeakExpertIsSureTheStrongOneIsNotComputed) {
  const at::NoGradGuard no_grad;
  const auto all = mowst({{"sure", 1.0}}), none = mowst({{"sure", 0.0}});
  const auto batch = nodes(*all, 40);
  Pass pass;
  pass.train = false;
  const auto confidence = all->answer(batch, pass).use->gates[0].weight.select(1, 0);
  const double middle = confidence.median().item<double>();
  const auto some = mowst({{"sure", middle}});
  const auto count = [&](Model& made, Output& out) {
    const ops::CostRecorder recorder;
    out = made.answer(batch, pass);
    return recorder.macs();
  };
  Output a, s, n;
  const auto macs = count(*all, a), fewer = count(*some, s), fewest = count(*none, n);
  EXPECT_GT(macs, fewer);
  EXPECT_GT(fewer, fewest);
  const auto sure = confidence.ge(middle);
  ASSERT_FALSE(sure.all().item<bool>());
  const auto weak = at::log_softmax(a.use->answers[0], 1);
  const auto said = at::where(sure.unsqueeze(1), weak, a.answer);
  EXPECT_LT((s.answer - said).abs().max().item<double>(), 1e-12);
  EXPECT_LT((n.answer - weak).abs().max().item<double>(), 1e-12);
  EXPECT_TRUE(s.use->gates[0].weight.select(1, 0).masked_select(sure).eq(1).all().item<bool>());
  // With gradients everything is computed, and the answers are the same.
  const at::AutoGradMode gradients(true);
  EXPECT_LT((some->answer(batch, pass).answer.detach() - s.answer).abs().max().item<double>(), 1e-12);
}

TEST(Mowst, AConstantGateIsAnEnsembleAndBadOptionsAreNamed) {
  const auto made = mowst({{"gate", "constant"}, {"confidence", 0.25}});
  Pass pass;
  pass.train = false;
  EXPECT_TRUE(
      made->answer(nodes(*made, 3), pass).use->gates[0].weight.select(1, 0).eq(0.25).all().item<bool>());
  expect_part(refusal<ValueError>([] {
                mowst({{"kind", "mlp"}});
              }),
              "expected a strong expert that sees edges");
}

}  // namespace gw::test::graph_cases
