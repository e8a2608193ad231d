// Gates against their formulas, and against bad input.
#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/ops/activation.h"
#include "tests/routing/parts.h"

namespace gw::test::gates_cases {

using gw::Json;

double gap(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

std::shared_ptr<gw::Gate> f64(const std::string& name, const Json& options, int64_t width, int64_t experts) {
  auto part = gw::make_part<gw::Gate>(name, options, gw::Gate::Context{width, experts, 5});
  part->to(at::kDouble);
  return part;
}

at::Tensor tokens(int64_t count, int64_t width, uint64_t seed = 1) {
  return gw::ops::normal(gw::Rng(seed), {count, width}, 0, 1).to(at::kDouble);
}

void set(gw::Gate& gate, const char* name, const at::Tensor& value) {
  const at::NoGradGuard no_grad;
  gate.named_parameters()[name].copy_(value);
}

at::Tensor parameter(gw::Gate& gate, const char* name) { return gate.named_parameters()[name].detach(); }

TEST(Cosine, LengthDoesNotMatterAndTheScaleIsClamped) {
  const auto gate = f64("cosine", {{"project", 5}, {"temperature", 0.5}}, 6, 4);
  const auto x = tokens(9, 6);
  EXPECT_LT(gap(gate->forward(x), gate->forward(x * 1000)), 1e-9);
  EXPECT_LE(gate->forward(x).abs().max().item<double>(), 2 + 1e-12);  // 1 / temperature
  EXPECT_EQ(gate->forward(at::zeros({1, 6}, at::kDouble)).abs().max().item<double>(), 0);
  set(*gate, "log_scale", at::full({1}, 50.0));
  EXPECT_LE(gate->forward(x).abs().max().item<double>(), 100 + 1e-9);
  const auto plain = f64("cosine", {{"project", 0}}, 6, 4);
  const auto w = parameter(*plain, "weight");
  const auto expected = at::matmul(x / x.norm(2, {1}, true), (w / w.norm(2, {1}, true)).t()) * 2;
  EXPECT_LT(gap(plain->forward(x), expected), 1e-7);  // the scale was initialised in f32
}

TEST(DenseToSparse, OnlyTheActivationIdentifiesTheTemperature) {
  const auto x = tokens(9, 6);
  for (const auto* activation : {"none", "tanh", "sigmoid", "gelu"}) {
    const auto gate = f64("dense_to_sparse", {{"activation", activation}}, 6, 4);
    const auto before = gate->forward(x);
    set(*gate, "weight", parameter(*gate, "weight") * 3);
    set(*gate, "log_temperature", at::full({1}, std::log(3.0)));
    const double moved = gap(gate->forward(x), before);
    if (std::string(activation) == "none") {
      EXPECT_LT(moved, 1e-6);  // ln 3 in f32
    } else {
      EXPECT_GT(moved, 1e-2) << activation;
    }
  }
  EXPECT_THROW(f64("dense_to_sparse", {{"temperature", -1.0}}, 6, 4), gw::ValueError);
  EXPECT_EQ(f64("dense_to_sparse", {{"learn", false}}, 6, 4)->parameters().size(), 2u);
}

TEST(ModifiedSoftmax, IsLinearInTheMap) {
  const auto x = tokens(9, 6);
  const auto gate = f64("modified_softmax", {{"map", "sigmoid"}, {"slope", 2.0}}, 6, 4);
  EXPECT_LT(gap(gate->forward(x),
                at::matmul(at::sigmoid(2 * x), parameter(*gate, "weight").t()) + parameter(*gate, "bias")),
            1e-12);
}

// Gates take every activation of the catalogue, with parameters; a map must be bounded.
TEST(GatesWithAnActivation, TakeItFromTheCatalogue) {
  const auto x = tokens(9, 6);
  for (const auto& name : gw::ops::activation_names()) {
    const auto gate = f64("dense_to_sparse", {{"activation", name}}, 6, 4);
    const auto plain = f64("dense_to_sparse", {{"activation", "none"}}, 6, 4);
    const gw::ops::ActivationFunction f("test", name);
    EXPECT_LT(gap(gate->forward(x), gw::ops::activation(plain->forward(x), f)), 1e-12) << name;
    if (f.bounded()) {
      EXPECT_TRUE(
          at::isfinite(f64("modified_softmax", {{"map", name}}, 6, 4)->forward(x)).all().item<bool>());
    } else {
      EXPECT_THROW(f64("modified_softmax", {{"map", name}}, 6, 4), gw::ValueError) << name;
    }
  }
  EXPECT_GT(gap(f64("dense_to_sparse", {{"activation", "golu(gamma=3)"}}, 6, 4)->forward(x),
                f64("dense_to_sparse", {{"activation", "golu"}}, 6, 4)->forward(x)),
            1e-3);
  EXPECT_THROW(f64("dense_to_sparse", {{"activation", "tahn"}}, 6, 4), gw::ValueError);
}

TEST(TaskAware, EachFormReadsTheTaskInItsWay) {
  const auto x = tokens(6, 5);
  gw::RouterInputs inputs;
  inputs.task = at::tensor({0, 2, 1, 0, 2, 2}, at::kLong);
  const auto separate = f64("task_aware", {{"tasks", 3}, {"form", "separate"}}, 5, 4);
  const auto all = separate->score(x, inputs);
  for (int64_t t = 0; t < 6; ++t) {
    const auto w = parameter(*separate, "weight").narrow(0, 4 * inputs.task[t].item<int64_t>(), 4);
    EXPECT_LT(gap(all[t], at::matmul(w, x[t])), 1e-12);
  }
  const auto embedding = f64("task_aware", {{"tasks", 3}, {"embedding", 2}}, 5, 4);
  const auto e = parameter(*embedding, "task").index_select(0, inputs.task);
  EXPECT_LT(
      gap(embedding->score(x, inputs), at::matmul(at::cat({x, e}, 1), parameter(*embedding, "weight").t())),
      1e-12);
  EXPECT_NO_THROW(f64("task_aware", {{"form", "none"}}, 5, 4)->forward(x));
  inputs.task = at::tensor({0, 3, 1, 0, 2, 2}, at::kLong);
  try {
    separate->score(x, inputs);
    FAIL() << "expected an error";
  } catch (const gw::ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("task ids in [0, 3), got 3 for token 1"), std::string::npos)
        << error.what();
  }
}

TEST(MultiGate, TasksSeeSharedExpertsAndTheirOwn) {
  const auto x = tokens(4, 5);
  gw::RouterInputs inputs;
  inputs.task = at::tensor({0, 1, 0, 1}, at::kLong);
  const auto gate = f64("multi_gate", {{"tasks", 2}, {"own", 2}}, 5,
                        6);  // experts 0, 1 shared; 2, 3 of task 0; 4, 5 of task 1
  const auto p = at::softmax(gate->score(x, inputs), 1).gt(0);
  const auto expected =
      at::tensor({1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1}, at::kLong)
          .view({4, 6})
          .to(at::kBool);
  EXPECT_TRUE(p.equal(expected));
  // HoME: weights are the main softmax plus a softmax over the own experts; they sum to two.
  const auto self = f64("multi_gate", {{"tasks", 2}, {"own", 2}, {"self_gate", true}}, 5, 6);
  const auto scores = self->score(x, inputs);
  const auto plan = policy("dense_softmax", {{"score", "exp"}}, 6)->plan(scores, false, gw::Rng(1));
  const auto weight = gw::dense_weights(plan);
  EXPECT_LT(gap(weight.sum(1), at::full({4}, 2.0, at::kDouble)), 1e-9);
  EXPECT_GE(weight.select(0, 0).narrow(0, 2, 2).sum().item<double>(),
            1.0);  // own experts: at least the self gate's share
  EXPECT_EQ(weight.select(0, 0).narrow(0, 4, 2).sum().item<double>(), 0);
  EXPECT_THROW(f64("multi_gate", {{"tasks", 2}, {"own", 4}}, 5, 6), gw::ValueError);
  EXPECT_THROW(f64("multi_gate", {{"self_gate", true}}, 5, 6), gw::ValueError);
}

TEST(DenseToSparse, TheTemperatureFallsWithTheStepAndStays) {
  const gw::Json options{{"activation", "none"},
                         {"learn", false},
                         {"temperature", 2.0},
                         {"anneal_to", 0.3},
                         {"anneal_steps", 100}};
  const auto gate = f64("dense_to_sparse", options, 6, 4),
             constant = f64("dense_to_sparse", {{"activation", "none"}, {"learn", false}}, 6, 4);
  const auto x = tokens(9, 6), at_one = constant->forward(x);  // the same weights at τ = 1
  gw::RouterInputs inputs;
  gate->train();
  EXPECT_THROW(gate->score(x, inputs), gw::ValueError);
  for (const auto& [step, tau] :
       std::vector<std::pair<int64_t, double>>{{0, 2.0}, {50, 1.15}, {100, 0.3}, {1000, 0.3}, {20, 1.66}}) {
    inputs.step = step;
    EXPECT_LT(gap(gate->score(x, inputs), at_one / tau), 1e-12) << step;
  }
  gate->eval();
  inputs.step = 1000;
  EXPECT_LT(gap(gate->score(x, inputs), at_one / 1.66),
            1e-12);  // of the last training pass, as a checkpoint has it
  EXPECT_LT(gap(gate->forward(x), at_one / 1.66), 1e-12);
  EXPECT_THROW(f64("dense_to_sparse", {{"anneal_to", 0.3}}, 6, 4), gw::ValueError);  // τ is learned
}

TEST(Feature, StartsAtOneAndStaysBelowTwo) {
  const auto gate = f64("feature", {{"rank", 3}}, 6, 6);
  EXPECT_LT(gap(gate->forward(tokens(9, 6)), at::ones({9, 6}, at::kDouble)), 1e-12);
  set(*gate, "up", gw::ops::normal(gw::Rng(3), {2, 3, 6}, 0, 5));
  const auto factors = gate->forward(tokens(9, 6));
  EXPECT_GT(factors.min().item<double>(), 0);
  EXPECT_LT(factors.max().item<double>(), 2);
  EXPECT_GT(factors.std().item<double>(), 0.1);
}

TEST(Confidence, ReadsTheTwoDispersions) {
  const auto gate = f64("confidence", {{"hidden", 2}}, 3, 2);
  set(*gate, "hidden_weight", at::eye(2));
  const auto read = [&](int which, const at::Tensor& p) {
    set(*gate, "weight", at::eye(2)[which].unsqueeze(0));
    return gate->forward(p.log())[0][0].item<double>();
  };
  const auto uniform = at::full({1, 3}, 1.0 / 3, at::kDouble),
             sure = at::tensor({1 - 2e-9, 1e-9, 1e-9}, at::kDouble).view({1, 3});
  const auto some = at::tensor({0.5, 0.3, 0.2}, at::kDouble).view({1, 3});
  EXPECT_NEAR(read(0, uniform), 0, 1e-9);
  EXPECT_NEAR(read(1, uniform), 0, 1e-9);
  EXPECT_NEAR(read(0, sure), 1, 1e-6);
  EXPECT_NEAR(read(1, sure), 1, 1e-6);
  EXPECT_NEAR(read(0, some), ((0.25 + 0.09 + 0.04) / 3 - 1.0 / 9) / (2.0 / 9), 1e-12);
  const double entropy = -(0.5 * std::log(0.5) + 0.3 * std::log(0.3) + 0.2 * std::log(0.2));
  EXPECT_NEAR(read(1, some), 1 - entropy / std::log(3.0), 1e-12);
  auto leaf = some.log().requires_grad_(true);
  EXPECT_GT(torch::autograd::grad({gate->forward(leaf).sum()}, {leaf})[0].norm().item<double>(),
            1e-3);  // the weak expert learns from it
  EXPECT_THROW(f64("confidence", Json::object(), 3, 4), gw::ValueError);
}

TEST(EarlyExitGate, ReadsFourStatisticsAndTeachesNoExit) {
  const auto gate = f64("early_exit", Json::object(), 6, 3);  // two exits with three classes, and the last
  const auto p = at::tensor({0.5, 0.3, 0.2, 0.9, 0.05, 0.05}, at::kDouble).view({1, 2, 3});
  auto x = p.log().view({1, 6}).requires_grad_(true);
  const auto entropy = [](const at::Tensor& q) { return -(q * q.log()).sum(); };
  for (int64_t l = 0; l < 2; ++l) {
    const auto q = p[0][l], sharp = q.square() / q.square().sum();
    const auto expected = at::stack({q[0], entropy(q), q[0] - q[1], entropy(sharp)});
    for (int64_t i = 0; i < 4; ++i) {
      auto pick = at::zeros({2, 4});
      pick[l][i] = 1;
      set(*gate, "weight", pick);
      EXPECT_NEAR(gate->forward(x)[0][l].item<double>(), expected[i].item<double>(), 1e-12);
    }
  }
  const auto scores = gate->forward(x);
  EXPECT_EQ(scores[0][2].item<double>(), 0);
  EXPECT_FALSE(torch::autograd::grad({scores.sum()}, {x}, {}, {}, false, /*allow_unused=*/true)[0].defined());
  EXPECT_THROW(f64("early_exit", Json::object(), 7, 3), gw::ValueError);
}

TEST(Pixelwise, IsALinearGateOfEveryPixel) {
  const auto gate = f64("pixelwise", Json::object(), 3, 4);
  const auto x = gw::ops::normal(gw::Rng(1), {2, 3, 5, 4}, 0, 1).to(at::kDouble);
  const auto pixels = x.permute({0, 2, 3, 1}).reshape({-1, 3});
  EXPECT_LT(gap(gate->forward(x), at::matmul(pixels, parameter(*gate, "weight").view({4, 3}).t())), 1e-12);
  EXPECT_THROW(f64("pixelwise", {{"window", 2}}, 3, 4), gw::ValueError);
}

TEST(Positional, LooksAtPositionsOnly) {
  const auto gate = f64("positional", Json::object(), 6, 4);
  gw::RouterInputs inputs;
  inputs.position = gw::ops::uniform(gw::Rng(2), {5, 2}, -1, 1).to(at::kDouble);
  EXPECT_TRUE(gate->score(tokens(5, 6, 1), inputs).equal(gate->score(tokens(5, 6, 2), inputs)));
  inputs.position = inputs.position.narrow(0, 0, 4);
  EXPECT_THROW(gate->score(tokens(5, 6), inputs), gw::ValueError);
}

TEST(Sequence, DecidesOncePerSequence) {
  const auto x = tokens(5, 6);
  gw::RouterInputs inputs;
  inputs.sequence = at::tensor({0, 1, 0, 1, 1}, at::kLong);
  const auto gate = f64("sequence", Json::object(), 6, 4);
  const auto scores = gate->score(x, inputs);
  EXPECT_TRUE(scores[0].equal(scores[2]) && scores[1].equal(scores[4]));
  EXPECT_LT(gap(scores[0], at::matmul(parameter(*gate, "weight"), (x[0] + x[2]) / 2)), 1e-12);
  const auto context = f64("sequence", {{"form", "context"}}, 6, 4);
  EXPECT_GT(gap(context->score(x, inputs)[0], context->score(x, inputs)[2]), 1e-6);
  inputs.sequence = at::tensor({0, 1, 0, 1, 5}, at::kLong);
  EXPECT_THROW(gate->score(x, inputs), gw::ValueError);
}

// Cox-de Boor for one value, straight from the recursion.
double spline(int64_t i, int64_t order, double x, double first, double step) {
  const auto knot = [&](int64_t j) { return first + static_cast<double>(j) * step; };
  if (order == 0) return x >= knot(i) && x < knot(i + 1) ? 1 : 0;
  const double width = static_cast<double>(order) * step;
  return (x - knot(i)) / width * spline(i, order - 1, x, first, step) +
         (knot(i + order + 1) - x) / width * spline(i + 1, order - 1, x, first, step);
}

at::Tensor kan(const at::Tensor& x, const at::Tensor& activated, const at::Tensor& base,
               const at::Tensor& splines) {
  auto basis = at::zeros({x.size(0), x.size(1) * 6}, at::kDouble);
  for (int64_t t = 0; t < x.size(0); ++t) {
    for (int64_t f = 0; f < x.size(1); ++f) {
      for (int64_t i = 0; i < 6; ++i)
        basis[t][f * 6 + i] = spline(i, 3, x[t][f].item<double>(), -3.0, 2.0 / 3);
    }
  }
  return at::matmul(activated, base.t()) + at::matmul(basis, splines.t());
}

TEST(Grkan, MatchesTheRecursionWrittenOut) {
  const auto gate = f64("grkan", {{"hidden", 5}}, 3, 4);
  const auto of = [&](const char* name) { return parameter(*gate, name); };
  const auto x = tokens(7, 3);
  const auto first = kan(x, at::elu(x), of("base1"), of("spline1"));
  const auto u = kan(first, at::relu(first), of("base2"), of("spline2"));
  const auto gated = at::matmul(u, of("value").t()) * at::sigmoid(at::matmul(u, of("gate").t()));
  const auto expected = at::layer_norm(at::matmul(x, of("skip").t()) + gated, 4);
  EXPECT_LT(gap(gate->forward(x), expected), 1e-10);
  EXPECT_TRUE(gate->forward(at::full({1, 3}, 1.0, at::kDouble)).isfinite().all().item<bool>());  // the grid's
                                                                                                 // right edge
  EXPECT_THROW(f64("grkan", Json::object(), 3, 1), gw::ValueError);
}

}  // namespace gw::test::gates_cases
