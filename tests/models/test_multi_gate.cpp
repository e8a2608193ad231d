// Models of several answers: formulas by hand, masks, gradients in f64.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "gatewright/base/registry.h"
#include "gatewright/models/expert_set.h"
#include "gatewright/models/model.h"
#include "gatewright/ops/random.h"
#include "tests/support/gradcheck.h"
#include "tests/support/refusal.h"

namespace gw::test::multi_gate_cases {

ExpertForm full_form() {
  ExpertForm form;
  form.hidden = 5, form.width = 3, form.norm = true, form.pieces = 2, form.rank = 2;
  form.activation = ops::ActivationFunction("test", "silu");
  return form;
}

/// Away from the start, where A = 0 hides half of the derivatives.
void shake(torch::nn::Module& module) {
  const at::NoGradGuard no_grad;
  uint64_t i = 0;
  for (auto& p : module.parameters())
    p.add_(ops::normal(Rng(99).fork("shake", i++), p.sizes(), 0, 0.3).to(p.dtype()));
}

/// The largest |analytic − numeric| over values of every parameter of the module, two of each at least.
double parameter_error(torch::nn::Module& module, const std::function<at::Tensor()>& loss) {
  const auto parameters = module.parameters();
  const auto gradient = torch::autograd::grad({loss()}, parameters, {}, {}, {}, /*allow_unused=*/true);
  const at::NoGradGuard no_grad;
  double worst = 0;
  for (size_t p = 0; p < parameters.size(); ++p) {
    EXPECT_TRUE(gradient[p].defined()) << "parameter " << p << " is not used";
    if (!gradient[p].defined()) continue;
    const auto analytic = gradient[p].contiguous();
    const int64_t stride = std::max<int64_t>(parameters[p].numel() / 2, 1);
    for (int64_t i = 0; i < parameters[p].numel(); i += stride)
      worst = std::max(worst,
                       difference_error(parameters[p].data_ptr<double>()[i], analytic.data_ptr<double>()[i],
                                        [&] { return loss().item<double>(); }));
  }
  return worst;
}

TEST(ExpertSet, GradientsOfNormGatesAndLayersAreThoseOfDifferences) {
  ExpertSet set(2, 4, full_form(), Rng(1));
  set.to(at::kDouble);
  shake(set);
  const auto x = ops::normal(Rng(2), {6, 4}, 0, 1).to(at::kDouble);
  for (const bool train : {true, false}) {
    const auto f = [&](const std::vector<at::Tensor>& in) { return set.forward(in[0], train); };
    EXPECT_LT(gradient_error(f, {x}), 1e-7) << train;
    EXPECT_LT(parameter_error(set, [&] { return project(set.forward(x, train)); }), 1e-7) << train;
  }
}

TEST(ExpertSet, FeatureGatesAreOneAtTheStart) {
  const ExpertSet set(3, 4, full_form(), Rng(1));
  const auto x = ops::normal(Rng(2), {5, 4}, 0, 2);
  EXPECT_LT((set.feature_gate(2, x) - 1).abs().max().item<double>(), 1e-6) << "the factor 2 of 2σ(0), A = 0";
}

TEST(ExpertSet, TheFeatureGateIsItsFormula) {
  ExpertSet set(1, 4, full_form(), Rng(1));
  shake(set);
  const auto p = set.named_parameters();
  const auto x = ops::normal(Rng(2), {5, 4}, 0, 1);
  const auto g = at::softmax(at::matmul(x, p["pieces0_"].t()), 1);
  at::Tensor sum = at::zeros({5, 4});
  for (int64_t l = 0; l < 2; ++l) {
    const auto low = at::matmul(x, p["low0_"].narrow(0, 2 * l, 2).t());
    sum += g.narrow(1, l, 1) * 2 * at::sigmoid(at::matmul(low, p["high0_"][l]));
  }
  EXPECT_LT((set.feature_gate(0, x) - sum).abs().max().item<double>(), 1e-5);
}

TEST(ExpertSet, NormStandsBeforeTheActivation) {
  auto form = full_form();
  form.pieces = 0;
  ExpertSet set(1, 4, form, Rng(1));
  const auto y = set.forward(ops::normal(Rng(2), {64, 4}, 3, 5), true).front();
  // Swish of standard normal values: never below −0.28, mean near 0.2; swish after which a norm came would
  // have mean 0.
  EXPECT_GT(y.min().item<double>(), -0.2785);
  EXPECT_GT(y.mean().item<double>(), 0.1);
}

TEST(ExpertSet, OneRowCannotBeNormalised) {
  ExpertSet set(1, 4, full_form(), Rng(1));
  expect_part(refusal<ValueError>([&] { set.forward(at::zeros({1, 4}), true); }), "expected at least 2 rows");
  expect_part(refusal<ValueError>([&] { set.forward(at::zeros({2, 3}), false); }), "expected rows [B, 4]");
}

std::shared_ptr<Model> model(const std::string& part, const Json& options) {
  Model::Context context;
  context.data.inputs = 5;
  context.answer = {4, false, {{"like", 1}, {"share", 1}, {"watch", 2}}};
  context.seed = 3;
  auto made = make_part<Model>(part, options, context);
  made->to(at::kDouble);
  shake(*made);
  return made;
}

const Json kHome{{"groups", {{"touch", {"like", "share"}}, {"time", {"watch"}}}}, {"width", 4}, {"tower", 3}};

Batch rows(int64_t count) {
  Batch batch;
  batch.fields["x"] = ops::normal(Rng(7), {count, 5}, 0, 1).to(at::kDouble);
  return batch;
}

TEST(MultiGate, GradientsAreThoseOfDifferences) {
  const auto batch = rows(6);
  for (const auto& [part, options] : std::vector<std::pair<std::string, Json>>{
           {"mmoe", {{"experts", 3}, {"width", 4}, {"tower", 3}, {"activation", "silu"}}},
           {"ple", {{"width", 4}, {"tower", 3}, {"activation", "silu"}}},
           {"home", kHome}}) {
    const auto made = model(part, options);
    Pass pass;
    pass.train = true;
    const auto f = [&](const std::vector<at::Tensor>& in) {
      Batch moved;
      moved.fields["x"] = in[0];
      return std::vector<at::Tensor>{made->answer(moved, pass).answer};
    };
    EXPECT_LT(gradient_error(f, {batch.at("x")}), 1e-7) << part;
    EXPECT_LT(parameter_error(*made, [&] { return project({made->answer(batch, pass).answer}); }), 1e-6)
        << part;
  }
}

TEST(MultiGate, WeightsAddUpToOneAndASelfGateComesOnTop) {
  Pass pass;
  pass.train = false;
  const auto plain = model("ple", {})->answer(rows(8), pass);
  for (const auto& gate : plain.use->gates)
    EXPECT_LT((gate.weight.sum(1) - 1).abs().max().item<double>(), 1e-9) << gate.name;
  const auto single = model("home", kHome)->answer(rows(8), pass);
  for (const auto& gate : single.use->gates) {
    const auto extra = gate.weight.sum(1) - 1;  // a sigmoid: sets of one expert
    EXPECT_GT(extra.min().item<double>(), 0.0) << gate.name << ": added, not multiplied in";
    EXPECT_LT(extra.max().item<double>(), 1.0) << gate.name;
  }
  auto two = kHome;
  two["own"] = 2;
  const auto pair = model("home", two)->answer(rows(8), pass);
  for (const auto& gate : pair.use->gates) {
    if (gate.name == "like") {
      EXPECT_LT((gate.weight.sum(1) - 2).abs().max().item<double>(), 1e-9) << "a softmax of two adds one";
    }
  }
}

/// Names of the parameters that answer `part` depends on.
std::vector<std::string> reached(Model& made, int64_t part) {
  Pass pass;
  pass.train = true;
  const auto named = made.named_parameters();
  const auto gradient = torch::autograd::grad({made.answer(rows(6), pass).answer.select(1, part).sum()},
                                              named.values(), {}, {}, {}, /*allow_unused=*/true);
  std::vector<std::string> out;
  for (size_t i = 0; i < gradient.size(); ++i) {
    if (gradient[i].defined() && gradient[i].abs().max().item<double>() > 0) out.push_back(named[i].key());
  }
  return out;
}

bool any(const std::vector<std::string>& names, const std::string& prefix) {
  return std::any_of(names.begin(), names.end(),
                     [&](const auto& name) { return name.rfind(prefix, 0) == 0; });
}

TEST(Home, ATaskNeverReachesTheOtherGroupsExperts) {
  auto home = model("home", kHome);
  const auto like = reached(*home, 0), watch = reached(*home, 2);
  // Level 2: sets are shared, group touch, group time (in the order of names), like, share, watch.
  const auto groups = home->answer(rows(2), Pass()).use->experts;
  const auto place = [&](const std::string& name) {
    const auto at = std::find(groups.begin(), groups.end(), name + " 0 of level 2");
    EXPECT_NE(at, groups.end()) << name;
    return "level1_set" + std::to_string(at - groups.begin() - 3);
  };
  EXPECT_TRUE(any(like, place("group touch") + "."));
  EXPECT_TRUE(any(like, place("like") + "."));
  EXPECT_FALSE(any(like, place("group time") + "."));
  EXPECT_FALSE(any(like, place("share") + "."));
  EXPECT_TRUE(any(watch, place("group time") + "."));
  EXPECT_FALSE(any(watch, place("group touch") + "."));
  // Level 1: its own group's and, through the shared gate, everybody's.
  for (int64_t set = 0; set < 3; ++set)
    EXPECT_TRUE(any(like, "level0_set" + std::to_string(set) + ".")) << "z_S sees all groups";
}

TEST(Ple, WithOneLevelItIsCustomisedGateControl) {
  auto cgc = model("ple", {{"levels", 1}, {"shared", 2}, {"own", 2}});
  Pass pass;
  const auto use = cgc->answer(rows(3), pass).use;
  EXPECT_EQ(use->experts.size(), 8u) << "2 shared, 2 of each of 3 answers";
  ASSERT_EQ(use->gates.size(), 3u) << "no shared gate on the last level";
  EXPECT_EQ(use->gates[1].experts, (std::vector<int64_t>{0, 1, 4, 5}));
  EXPECT_EQ(use->gates[1].own, (std::vector<int64_t>{4, 5}));
  EXPECT_FALSE(any(reached(*cgc, 0), "level0_set2."));
}

TEST(Mmoe, TheAnswerIsTheTowerOfTheWeightedSum) {
  auto made = model("mmoe", {{"experts", 3}, {"width", 4}, {"tower", 3}, {"activation", "relu"}});
  Pass pass;
  pass.train = false;
  const auto batch = rows(5);
  const auto out = made->answer(batch, pass);
  const auto p = made->named_parameters();
  const auto& gate = out.use->gates[1];
  const auto weight = at::softmax(at::matmul(batch.at("x"), p["level0_1.gate.weight"].t()), 1);
  EXPECT_LT((gate.weight - weight).abs().max().item<double>(), 1e-12);
  at::Tensor z = at::zeros({5, 4}, at::kDouble);
  for (int64_t e = 0; e < 3; ++e) z += weight.narrow(1, e, 1) * out.use->answers[static_cast<size_t>(e)];
  const auto h = at::relu(at::matmul(z, p["tower1.weight"].t()) + p["tower1.bias"]);
  const auto y = at::matmul(h, p["tower1_out.weight"].t()) + p["tower1_out.bias"];
  EXPECT_LT((out.answer.narrow(1, 1, 1) - y).abs().max().item<double>(), 1e-12);
}

TEST(MultiGate, GatesAreTheRoutersParameters) {
  for (const auto* part : {"mmoe", "ple", "home"}) {
    const auto made = model(part, part == std::string("home") ? kHome : Json::object());
    EXPECT_GE(made->router_parameters().size(), 3u) << part;
  }
}

TEST(Home, GroupsThatDoNotFitTheAnswersAreNamed) {
  const auto told = [](const Json& groups) {
    return refusal<ValueError>([&] { model("home", {{"groups", groups}}); });
  };
  expect_part(told({{"a", {"like", "share", "wacth"}}}),
              "unknown answer \"wacth\" in the group \"a\"; did you mean \"watch\"?");
  expect_part(told({{"a", {"like", "share"}}}), "expected \"watch\" in one of the groups");
  expect_part(told({{"a", {"like", "share"}}, {"b", {"watch", "like"}}}), "got \"like\" in two");
  expect_part(told({{"a", "like"}}), "expected a list of answers for the group \"a\"");
}

}  // namespace gw::test::multi_gate_cases
