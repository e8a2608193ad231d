// Quantile embeddings and the mixture for tables that is made of them.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/error.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/model.h"
#include "gatewright/models/quantile_embedding.h"
#include "gatewright/ops/random.h"
#include "tests/support/gradcheck.h"

namespace gw::test::gg_moe_cases {

constexpr int64_t kInputs = 5;  // three numbers and two columns of 0 and 1
const std::vector<int64_t> kNumeric{0, 2, 3};

std::shared_ptr<Model> network(Json options, int64_t answer = 3, uint64_t seed = 1) {
  DataSpec data;
  data.inputs = kInputs, data.numeric = kNumeric, data.classes = answer;
  return make_part<Model>("gg_moe", options, {data, {answer, false}, seed});
}

Batch rows(int64_t count, uint64_t seed = 7) {
  Batch batch;
  auto x = ops::normal(Rng(seed), {count, kInputs}, 0, 1);
  for (const int64_t c : {1, 4}) x.select(1, c).copy_(x.select(1, c).gt(0).to(at::kFloat));
  batch.fields["x"] = x;
  batch.index = at::arange(count, at::kLong);
  return batch;
}

Pass evaluation(uint64_t seed = 3) {
  Pass pass;
  pass.rng = Rng(seed), pass.train = false;
  return pass;
}

TEST(PiecewiseLinear, IsTheShareOfEachBinThatLiesBelow) {
  const auto lower = at::tensor({0.0, 1.0, 0.0}).view({1, 3}),
             scale = at::tensor({1.0, 0.5, 0.0}).view({1, 3});
  const auto code = piecewise_linear(at::tensor({-5.0, 0.25, 2.0, 9.0}).view({4, 1}), lower, scale);
  const auto want = at::tensor({0.0, 0.0, 0.0, 0.25, 0.0, 0.0, 1.0, 0.5, 0.0, 1.0, 1.0, 0.0}).view({4, 1, 3});
  EXPECT_TRUE(code.equal(want.to(code.scalar_type()))) << code;
}

// Fails if edges come from anything but the rows that prepare() sees, or if equal quantiles make empty bins.
TEST(QuantileEmbedding, EdgesAreTheQuantilesOfTheTrainingRows) {
  QuantileEmbedding embedding(2, 4, 3, Rng(1));
  auto x = at::empty({101, 2});
  x.select(1, 0).copy_(at::arange(101).to(at::kFloat) * 2);             // quantiles 0, 50, 100, 150, 200
  x.select(1, 1).copy_(at::arange(101).ge(60).to(at::kFloat) * 3 - 1);  // −1 and 2: one bin
  embedding.prepare(x);
  const auto buffers = embedding.named_buffers();
  EXPECT_TRUE(buffers["lower"][0].allclose(at::tensor({0.0F, 50.0F, 100.0F, 150.0F})));
  EXPECT_TRUE(buffers["scale"][0].allclose(at::full({4}, 1.0F / 50)));
  EXPECT_FLOAT_EQ(buffers["lower"][1][0].item<float>(), -1);
  EXPECT_TRUE(buffers["scale"][1].allclose(at::tensor({1.0F / 3, 0.0F, 0.0F, 0.0F})));
  EXPECT_THROW(embedding.prepare(at::full({3, 2}, NAN)), ValueError);
  EXPECT_THROW(embedding.prepare(at::zeros({3, 1})), ValueError);
}

TEST(QuantileEmbedding, AConstantColumnIsALine) {
  QuantileEmbedding embedding(1, 3, 2, Rng(1));
  embedding.prepare(at::full({10, 1}, 4.0));
  EXPECT_TRUE(embedding.named_buffers()["scale"].eq(0).all().item<bool>());
}

/// Largest relative gap between autograd and central differences over every parameter, in f64.
double parameter_gap(torch::nn::Module& module, const std::function<at::Tensor()>& answer) {
  double worst = 0;
  const auto loss = [&] { return project({answer()}); };
  const auto total = loss();
  for (auto& item : module.named_parameters()) {
    auto& p = item.value();
    const auto found = torch::autograd::grad({total}, {p}, {}, /*retain_graph=*/true, false, true)[0];
    const auto gradient = (found.defined() ? found : at::zeros_like(p)).contiguous();
    const at::NoGradGuard no_grad;
    for (int64_t i = 0; i < p.numel(); ++i)
      worst = std::max(worst, difference_error(p.data_ptr<double>()[i], gradient.data_ptr<double>()[i],
                                               [&] { return loss().item<double>(); }));
  }
  return worst;
}

TEST(QuantileEmbedding, GradientsAreTheDerivatives) {
  QuantileEmbedding embedding(3, 4, 2, Rng(1));
  embedding.prepare(ops::normal(Rng(5), {40, 3}, 0, 1));
  embedding.to(at::kDouble);
  const auto x = ops::normal(Rng(6), {6, 3}, 0, 1).to(at::kDouble);
  EXPECT_LT(parameter_gap(embedding, [&] { return embedding.forward(x); }), 1e-7);
  EXPECT_LT(
      gradient_error([&](const auto& in) { return std::vector<at::Tensor>{embedding.forward(in[0])}; }, {x}),
      1e-7);
}

TEST(GgMoe, GradientsAreTheDerivativesUnderNoise) {
  for (const Json& policy :
       {Json{{"part", "gumbel_softmax"}, {"temperature", 0.7}}, Json{{"part", "dense_softmax"}}}) {
    const auto model = network(
        {{"width", 6}, {"experts", 3}, {"bins", 3}, {"embedding", 2}, {"bias", true}, {"policy", policy}});
    TensorSet train;
    train.fields["x"] = rows(30, 2).fields["x"];
    model->prepare(train);
    model->to(at::kDouble);
    {  // a row that meets no unit of a narrow expert would stand on the kink of the next layer at bias 0
      const at::NoGradGuard no_grad;
      uint64_t place = 0;
      for (auto& item : model->named_parameters())
        item.value().add_(ops::normal(Rng(9).fork("moved", place++), item.value().sizes(), 0, 0.2));
    }
    auto batch = rows(5);
    batch.fields["x"] = batch.fields["x"].to(at::kDouble);
    Pass pass;
    pass.rng = Rng(4), pass.train = true;  // one stream: the noise is the same at every call
    EXPECT_LT(parameter_gap(*model, [&] { return model->answer(batch, pass).answer; }), 1e-6) << policy;
  }
}

// Fails if the answers are not the weighted sum of the experts' own.
TEST(GgMoe, AnswersAreTheWeightedSumOfItsExperts) {
  const auto model =
      network({{"width", 12}, {"experts", 3}, {"policy", {{"part", "gumbel_softmax"}, {"samples", 0}}}});
  const auto batch = rows(9);
  const auto out = model->answer(batch, evaluation());
  const auto weight = dense_weights(out.plans.at(0).plan);
  auto sum = at::zeros_like(out.answer);
  for (int64_t e = 0; e < 3; ++e) {
    auto forced = evaluation();
    forced.forced_expert = e;
    sum = sum + weight.narrow(1, e, 1) * model->answer(batch, forced).answer;
  }
  EXPECT_TRUE(sum.allclose(out.answer, 1e-5, 1e-6));
  EXPECT_TRUE(weight.sum(1).allclose(at::ones({9})));
}

// Fails if evaluation draws by the place in the batch.
TEST(GgMoe, ARowsAnswerDependsOnNoOtherRow) {
  const auto model = network(Json::object());
  const auto whole = rows(40);
  const auto all = model->answer(whole, evaluation()).answer;
  Batch part;
  part.fields["x"] = whole.fields.at("x").narrow(0, 11, 7);
  part.index = at::arange(7, at::kLong);
  EXPECT_TRUE(model->answer(part, evaluation()).answer.allclose(all.narrow(0, 11, 7), 1e-5, 1e-6));
  EXPECT_FALSE(model->answer(whole, evaluation(4)).answer.allclose(all, 1e-5, 1e-6)) << "draws nothing";
}

TEST(GgMoe, MoreDrawsScatterLess) {
  const auto batch = rows(30);
  const auto spread = [&](int64_t samples) {
    const auto model = network({{"policy", {{"part", "gumbel_softmax"}, {"samples", samples}}}});
    std::vector<at::Tensor> answers;
    for (uint64_t seed = 0; seed < 60; ++seed)
      answers.push_back(model->answer(batch, evaluation(seed)).answer);
    return at::stack(answers).std(0).mean().item<double>();
  };
  EXPECT_NEAR(spread(10) / spread(1), std::sqrt(0.1), 0.06);
}

TEST(GgMoe, SharingTheWidthSavesHiddenWeights) {
  const auto hidden = [](int64_t experts) {
    return network({{"width", 128}, {"experts", experts}, {"depth", 3}})
        ->named_parameters()["weight1"]
        .numel();
  };
  EXPECT_EQ(hidden(8) * 8, hidden(1));
  EXPECT_EQ(network({{"experts", 1}})->router_parameters().size(), 0u);
}

TEST(GgMoe, DropoutIsForTrainingAlone) {
  const auto model = network({{"experts", 1}, {"dropout", 0.5}});
  const auto batch = rows(6);
  EXPECT_TRUE(model->answer(batch, evaluation(1)).answer.equal(model->answer(batch, evaluation(2)).answer));
  auto one = evaluation(1), two = evaluation(2);
  one.train = two.train = true;
  EXPECT_FALSE(model->answer(batch, one).answer.equal(model->answer(batch, two).answer));
  EXPECT_TRUE(model->answer(batch, one).answer.equal(model->answer(batch, one).answer));
}

TEST(GgMoe, ATableOfFactorsAloneHasNoEmbedding) {
  DataSpec data;
  data.inputs = 4;
  const auto model = make_part<Model>("gg_moe", Json::object(), {data, {2, false}, 1});
  EXPECT_EQ(model->named_buffers().size(), 0u);
  EXPECT_EQ(model->answer(model->example(3, Rng(1)), evaluation()).answer.sizes(), (at::IntArrayRef{3, 2}));
}

TEST(GgMoe, OptionsThatDoNotFitAreRefused) {
  const auto refused = [](const Json& options, const std::string& words) {
    try {
      network(options);
      ADD_FAILURE() << "accepted: " << words;
    } catch (const ValueError& error) {
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  };
  refused({{"width", 10}, {"experts", 4}}, "expected a \"width\" that 4 experts divide, got 10; take 12");
  refused({{"gate", "cnn"}}, "expected a gate over tokens, got gates/cnn");
  refused({{"policy", "soft_moe"}}, "which mixes rows");
}

}  // namespace gw::test::gg_moe_cases
