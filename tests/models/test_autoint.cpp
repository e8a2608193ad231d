// Fields as vectors and layers in which they look at each other, against their equations.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/registry.h"
#include "gatewright/models/field_embedding.h"
#include "gatewright/models/model.h"
#include "gatewright/ops/random.h"
#include "tests/support/gradcheck.h"
#include "tests/support/refusal.h"

namespace gw::test::autoint_cases {

// A number, a factor of three levels, a number whose missing cells are marked.
const std::vector<InputField> kFields{{"age", 0, 1, true}, {"port", 1, 3, false}, {"fare", 4, 2, true}};
constexpr int64_t kInputs = 6;

DataSpec spec(const std::vector<InputField>& fields = kFields, int64_t inputs = kInputs) {
  DataSpec data;
  data.inputs = inputs, data.fields = fields, data.classes = 3;
  return data;
}

std::shared_ptr<Model> network(Json options, int64_t answer = 3) {
  const Json sizes{{"embedding", 3}, {"layers", 2}, {"heads", 2}, {"width", 4}};
  for (const auto& [name, value] : sizes.items()) {
    if (!options.contains(name)) options[name] = value;
  }
  return make_part<Model>("autoint", options, {spec(), {answer, false}, 1});
}

Batch rows() {
  Batch batch;
  batch.fields["x"] = at::tensor({0.5, 1., 0., 0., -1., 0.,   //
                                  -2., 0., 0., 1., 0., 1.,    //
                                  1.5, 0., 0., 0., 0.7, 0.})  // a level that training never saw
                          .view({3, kInputs})
                          .to(at::kFloat);
  batch.index = at::arange(3, at::kLong);
  return batch;
}

Pass evaluation(bool train = false) {
  Pass pass;
  pass.train = train;
  return pass;
}

TEST(FieldEmbedding, AFieldIsItsLevelsVectorOrItsNumberTimesOne) {
  FieldEmbedding embedding(kFields, kInputs, {4, 0}, Rng(1));
  const auto v = embedding.named_parameters()["vectors"];
  const auto e = embedding.forward(rows().at("x"));
  EXPECT_EQ(e.sizes(), (at::IntArrayRef{3, 3, 4}));
  EXPECT_TRUE(e[0][0].allclose(v[0] * 0.5));
  EXPECT_TRUE(e[0][1].allclose(v[1]));
  EXPECT_TRUE(e[1][1].allclose(v[3]));
  EXPECT_TRUE(e[2][1].eq(0).all().item<bool>()) << "an unseen level is nothing";
  EXPECT_TRUE(e[0][2].allclose(-v[4]));
  EXPECT_TRUE(e[1][2].allclose(v[5])) << "a missing cell has a vector of its own";
  expect_part(refusal<ValueError>([] { FieldEmbedding(kFields, 7, {4, 0}, Rng(1)); }), "of 7 columns in all");
  const std::vector<InputField> apart{{"age", 0, 1, true}, {"port", 2, 3, false}};
  expect_part(refusal<ValueError>([&] { FieldEmbedding(apart, 5, {4, 0}, Rng(1)); }), "fields side by side");
}

TEST(FieldEmbedding, QuantilesStandInForTheValue) {
  FieldEmbedding embedding(kFields, kInputs, {4, 3}, Rng(1));
  const auto before = embedding.forward(rows().at("x"));
  embedding.prepare(ops::normal(Rng(2), {50, kInputs}, 0, 1));
  EXPECT_EQ(before.sizes(), (at::IntArrayRef{3, 3, 4}));
  EXPECT_EQ(embedding.named_buffers().size(), 2u);
}

/// One layer of the code's form written out: fields [M, in] → [M, width], heads of 2.
at::Tensor layer_written_out(torch::nn::Module& model, const at::Tensor& e, const std::string& index) {
  const auto p = model.named_parameters();
  const auto of = [&](const std::string& what) {
    return at::relu(at::matmul(e, p[what + index].t()) + p[what + "_bias" + index]);
  };
  const auto q = of("query"), k = of("key"), v = of("value"), r = of("residual");
  std::vector<at::Tensor> heads;
  for (int64_t h = 0; h < 2; ++h) {
    const auto part = [h](const at::Tensor& t) { return t.narrow(1, 2 * h, 2); };
    heads.push_back(at::matmul(at::softmax(at::matmul(part(q), part(k).t()) / std::sqrt(2.0), 1), part(v)));
  }
  return at::layer_norm(at::relu(at::cat(heads, 1) + r), 4, p["norm" + index], p["norm_bias" + index], 1e-8);
}

TEST(AutoInt, MatchesItsEquations) {
  const auto model = network({{"deep", Json::array({5})}});
  model->to(at::kDouble);
  const at::NoGradGuard no_grad;
  const auto p = model->named_parameters();
  auto batch = rows();
  batch.fields["x"] = batch.fields["x"].to(at::kDouble);
  const auto found = model->answer(batch, evaluation());
  for (int64_t i = 0; i < 3; ++i) {
    const auto x = batch.at("x")[i];
    const auto v = p["embedding.vectors"];
    const auto e =
        at::stack({x[0] * v[0], at::matmul(x.narrow(0, 1, 3), v.narrow(0, 1, 3)), x[4] * v[4] + x[5] * v[5]});
    const auto h = layer_written_out(*model, layer_written_out(*model, e, "0"), "1");
    const auto deep = at::matmul(at::relu(at::matmul(e.flatten(), p["deep0.weight"].t()) + p["deep0.bias"]),
                                 p["deep1.weight"].t()) +
                      p["deep1.bias"];
    const auto expected = at::matmul(h.flatten(), p["head.weight"].t()) + p["head.bias"] + deep;
    EXPECT_TRUE(found.answer[i].allclose(expected, 1e-9, 1e-9)) << i;
  }
  EXPECT_TRUE(found.attention.sum(1).allclose(at::ones({3}, at::kDouble)));
  EXPECT_FALSE(model->answer(batch, evaluation(true)).attention.defined())
      << "a cost of training for nothing";
}

TEST(AutoInt, GradientsAreTheDerivatives) {
  for (const char* form : {"paper", "code"}) {
    const auto model = network({{"form", form}, {"layers", 1}});
    model->to(at::kDouble);
    {  // away from the kinks at 0
      const at::NoGradGuard no_grad;
      uint64_t place = 0;
      for (auto& item : model->named_parameters())
        item.value().add_(ops::normal(Rng(9).fork("moved", place++), item.value().sizes(), 0, 0.3));
    }
    auto batch = rows();
    batch.fields["x"] = batch.fields["x"].to(at::kDouble);
    const auto loss = [&] { return project({model->answer(batch, evaluation(true)).answer}); };
    for (auto& item : model->named_parameters()) {
      auto& p = item.value();
      const auto gradient =
          torch::autograd::grad({loss()}, {p}, {}, false, false, /*allow_unused=*/true)[0].contiguous();
      const at::NoGradGuard no_grad;
      for (int64_t i = 0; i < p.numel(); ++i)
        EXPECT_LT(difference_error(
                      p.data_ptr<double>()[i], gradient.data_ptr<double>()[i],
                      [&] { return loss().item<double>(); }, 1e-6),
                  1e-6)
            << form << " " << item.key() << " " << i;
    }
  }
}

// The order of the columns is a matter of writing: fields, vectors and the head's columns moved together give
// the same answers.
TEST(AutoInt, TheOrderOfFieldsChangesNothing) {
  const auto model = network(Json::object());
  const std::vector<InputField> moved{{"fare", 0, 2, true}, {"age", 2, 1, true}, {"port", 3, 3, false}};
  const auto other = make_part<Model>(
      "autoint", {{"embedding", 3}, {"layers", 2}, {"heads", 2}, {"width", 4}}, {spec(moved), {3, false}, 2});
  const auto columns = at::tensor({4, 5, 0, 1, 2, 3}, at::kLong), fields = at::tensor({2, 0, 1}, at::kLong);
  const at::NoGradGuard no_grad;
  auto to = other->named_parameters();
  for (const auto& item : model->named_parameters()) {
    auto value = item.value();
    if (item.key() == "embedding.vectors") value = value.index_select(0, columns);
    if (item.key() == "head.weight") value = value.view({3, 3, 4}).index_select(1, fields).reshape({3, 12});
    to[item.key()].copy_(value);
  }
  auto batch = rows();
  const auto before = model->answer(batch, evaluation());
  batch.fields["x"] = batch.fields["x"].index_select(1, columns);
  const auto after = other->answer(batch, evaluation());
  EXPECT_TRUE(after.answer.allclose(before.answer, 1e-5, 1e-6));
  EXPECT_TRUE(
      after.attention.allclose(before.attention.index_select(0, fields).index_select(1, fields), 1e-5, 1e-6));
}

TEST(AutoInt, UniformAttentionLooksAtAllAlike) {
  const auto model = network({{"attention", "uniform"}});
  EXPECT_TRUE(model->answer(rows(), evaluation()).attention.allclose(at::full({3, 3}, 1.0 / 3)));
  EXPECT_FALSE(model->named_parameters().contains("query0"));
}

TEST(AutoInt, ATableWithoutNamesHasAFieldForEachColumn) {
  DataSpec data;
  data.inputs = 4, data.numeric = {0, 2};
  const auto fields = fields_of(data);
  ASSERT_EQ(fields.size(), 4u);
  EXPECT_TRUE(fields[2].number && !fields[1].number);
  const auto model = make_part<Model>("autoint", {{"width", 8}}, {data, {2, false}, 1});
  EXPECT_EQ(model->answer(model->example(5, Rng(1)), evaluation()).answer.sizes(), (at::IntArrayRef{5, 2}));
}

TEST(AutoInt, RefusesWhatDoesNotFit) {
  expect_part(refusal<ValueError>([] {
                network({{"width", 5}});
              }),
              "expected a \"width\" that 2 heads divide, got 5; take 6");
  expect_part(refusal<ValueError>([] { network({{"form", "papers"}}); }), "did you mean \"paper\"?");
  expect_part(refusal<ValueError>([] {
                make_part<Model>("autoint", Json::object(), {DataSpec{}, {2, false}, 1});
              }),
              "expected data with the field \"x\"");
  expect_part(refusal<ValueError>([] {
                Batch narrow;
                narrow.fields["x"] = at::zeros({2, 3});
                network(Json::object())->answer(narrow, Pass{});
              }),
              "expected rows [B, 6]");
}

TEST(FactorizationMachine, IsTheSumOfAllProductsOfTwo) {
  const auto model = make_part<Model>("factorization_machine", {{"embedding", 4}}, {spec(), {1, false}, 3});
  const auto linear = make_part<Model>("factorization_machine", {{"pairs", false}}, {spec(), {1, false}, 3});
  const auto batch = rows();
  const auto x = batch.at("x");
  const auto p = model->named_parameters();
  FieldEmbedding embedding(kFields, kInputs, {4, 0}, Rng(8));
  const at::NoGradGuard no_grad;
  embedding.named_parameters()["vectors"].copy_(p["embedding.vectors"]);
  const auto e = embedding.forward(x);
  const auto expected = at::matmul(x, p["linear.weight"].t()) + p["linear.bias"] +
                        ((e.select(1, 0) * e.select(1, 1)).sum(1) + (e.select(1, 0) * e.select(1, 2)).sum(1) +
                         (e.select(1, 1) * e.select(1, 2)).sum(1))
                            .unsqueeze(1);
  EXPECT_TRUE(model->answer(batch, evaluation()).answer.allclose(expected, 1e-5, 1e-6));
  EXPECT_TRUE(linear->answer(batch, evaluation())
                  .answer.allclose(at::matmul(x, p["linear.weight"].t()) + p["linear.bias"]))
      << "the same stream draws the linear part";
}

}  // namespace gw::test::autoint_cases
