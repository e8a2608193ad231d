// Whole routers as papers wire them: what runs beside the routed experts, two levels of groups and tasks,
// batches over ranks.
#include <gtest/gtest.h>

#include "gatewright/base/registry.h"
#include "gatewright/mixture/mixture.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/families.h"
#include "gatewright/routing/load.h"
#include "tests/support/ranks.h"

namespace gw::test::wiring_cases {

constexpr int64_t kWidth = 6;

at::Tensor tokens(int64_t count, uint64_t seed = 1) {
  return gw::ops::normal(gw::Rng(seed), {count, kWidth}, 0, 1).to(at::kDouble);
}

std::shared_ptr<gw::Mixture> make(gw::Json json) {
  json["in"] = kWidth, json["seed"] = 3;
  auto mixture = gw::Mixture::from_json(json);
  mixture->to(at::kDouble);
  return mixture;
}

at::Tensor parameter(gw::Mixture& mixture, const std::string& name) {
  return mixture.named_parameters()[name];
}

at::Tensor routed(gw::Mixture& mixture, const gw::MixtureOutput& out, const at::Tensor& x) {
  const auto weight = gw::dense_weights(out.plan);
  auto y = at::zeros({x.size(0), out.y.size(1)}, x.options());
  for (int64_t e = 0; e < weight.size(1); ++e) y += weight.narrow(1, e, 1) * mixture.bank().run_one(x, e);
  return y;
}

double gap(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

gw::Json small(const std::string& family, gw::Json changes = gw::Json::object()) {
  changes["bank"] = {{"part", "mlp"}, {"hidden", 5}, {"glu", true}, {"activation", "silu"}, {"bias", false}};
  return gw::family_mixture(family, changes);
}

TEST(Families, Qwen2GatesItsSharedExpertByTheToken) {
  gw::Json shared{{"part", "mlp"}, {"hidden", 9}, {"glu", true}, {"activation", "silu"}, {"bias", false}};
  const auto mixture = make(small("qwen2_moe", {{"shared_bank", shared}}));
  const auto x = tokens(7);
  const auto out = mixture->forward(x);
  const auto w1 = parameter(*mixture, "shared.w1")[0], wg = parameter(*mixture, "shared.wg")[0],
             w2 = parameter(*mixture, "shared.w2")[0];
  EXPECT_EQ(w1.size(0), 9);  // wider than the routed experts, as in the published sizes
  const auto expert = at::matmul(at::silu(at::matmul(x, wg.t())) * at::matmul(x, w1.t()), w2.t());
  const auto factor = at::sigmoid(at::matmul(x, parameter(*mixture, "shared_gate").t()));
  EXPECT_LT(gap(out.y, routed(*mixture, out, x) + factor * expert), 1e-12);
  EXPECT_GT(factor.std().item<double>(), 0.01);
  EXPECT_THROW(make({{"shared_gate", true}}), gw::ValueError);  // nothing to gate
}

TEST(Families, JetmoeAddsOneBiasToEveryToken) {
  const auto mixture = make(small("jetmoe"));
  const auto x = tokens(7);
  const at::NoGradGuard no_grad;
  parameter(*mixture, "output_bias").copy_(at::arange(kWidth));
  const auto out = mixture->forward(x);
  EXPECT_LT(gap(out.y, routed(*mixture, out, x) + at::arange(kWidth)), 1e-12);
}

TEST(Families, EveryMixtureRunsAtItsPublishedNumberOfExperts) {
  for (const auto& family : gw::router_families()) {
    const auto json =
        small(family.name, family.name == "qwen2_moe" ? gw::Json{{"shared_bank", gw::Json::object()}}
                                                      : gw::Json::object());
    const auto out = make(json)->forward(tokens(5));
    EXPECT_EQ(out.plan.experts(), family.experts) << family.name;
    EXPECT_TRUE(out.y.isfinite().all().item<bool>()) << family.name;
    EXPECT_EQ(make(json)->gate().parameters().size(), family.gate_bias ? 2u : 1u) << family.name;
  }
  EXPECT_THROW(gw::family_mixture("qwen9"), gw::ValueError);
}

// HoME (Wang et al. 2024) with the parts at hand. Level 1: a gate per group over shared experts S and the
// group's own, with self gates, on an input scaled by the feature gate; z_S sees the experts of all groups.
// Level 2: a gate per task over [z_group ; z_S].
TEST(Home, TwoLevelsAreTwoMixturesAndAGate) {
  const gw::Json per_group{{"part", "multi_gate"}, {"tasks", 2}, {"own", 2}, {"self_gate", true}};
  const gw::Json level1{{"experts", 6},
                        {"gate", per_group},
                        {"policy", {{"part", "dense_softmax"}, {"score", "exp"}}},
                        {"bank", {{"part", "mlp"}, {"hidden", 5}, {"activation", "silu"}}}};
  const auto groups = make(level1);
  const auto all = gw::make_part<gw::Gate>("linear", gw::Json::object(), gw::Gate::Context{kWidth, 6, 7});
  all->to(at::kDouble);
  const auto feature =
      gw::make_part<gw::Gate>("feature", {{"rank", 3}}, gw::Gate::Context{kWidth, kWidth, 5});
  feature->to(at::kDouble);
  for (const auto& item : feature->named_parameters())
    item.value().detach().add_(0.3);  // away from its start at one
  const auto v = tokens(8), x = v * feature->forward(v);
  gw::RouterInputs inputs;
  inputs.task = at::tensor({0, 0, 1, 1, 0, 1, 0, 1}, at::kLong);  // the group of each token's task
  const auto first = groups->forward(x, inputs);
  // z_S: the same experts, all of them, under a gate of its own.
  const auto seen_by_all = gw::make_part<gw::Policy>("dense_softmax", gw::Json::object(), {6})
                               ->plan(all->forward(x), true, gw::Rng(1));
  const auto z_group = first.y,
             z_shared = groups->bank().mix(x, seen_by_all.offsets, seen_by_all.token, seen_by_all.weight);
  const auto weight = gw::dense_weights(first.plan);
  for (int64_t t = 0; t < 8; ++t) {
    const int64_t group = inputs.task[t].item<int64_t>(), other = 1 - group;
    EXPECT_EQ(weight[t].narrow(0, 2 + 2 * other, 2).abs().sum().item<double>(), 0)
        << "a group saw the other's experts";
    // softmax over S and the own experts, plus the self gate's softmax over the own.
    const auto rows = [&](const char* name, int64_t each) {
      return groups->gate().named_parameters()[name].narrow(0, group * each, each);
    };
    const auto s = at::matmul(rows("weight", 6), x[t]) + rows("bias", 6);
    const auto seen = at::cat({s.narrow(0, 0, 2), s.narrow(0, 2 + 2 * group, 2)}), g = at::softmax(seen, 0);
    const auto self = at::softmax(at::matmul(rows("self_weight", 2), x[t]) + rows("self_bias", 2), 0);
    EXPECT_LT(gap(weight[t].narrow(0, 0, 2), g.narrow(0, 0, 2)), 1e-12);
    EXPECT_LT(gap(weight[t].narrow(0, 2 + 2 * group, 2), g.narrow(0, 2, 2) + self), 1e-12);
  }
  gw::Json level2 = level1;
  level2["in"] = 2 * kWidth, level2["out"] = 1, level2["seed"] = 4, level2["experts"] = 6;
  level2["gate"] = {{"part", "multi_gate"}, {"tasks", 4}, {"own", 1}, {"self_gate", true}};
  const auto tasks = gw::Mixture::from_json(level2);
  tasks->to(at::kDouble);
  inputs.task = at::tensor({0, 1, 2, 3, 0, 2, 1, 3}, at::kLong);  // tasks 0, 1 of group 0; 2, 3 of group 1
  const auto second = tasks->forward(at::cat({z_group, z_shared}, 1), inputs);
  EXPECT_EQ(second.y.size(1), 1);
  // The towers' loss reaches the gates of both levels and the feature gate.
  std::vector<at::Tensor> wanted = groups->gate().parameters();
  for (const auto& p : all->parameters()) wanted.push_back(p);
  for (const auto& p : tasks->gate().parameters()) wanted.push_back(p);
  for (const auto& p : feature->parameters()) wanted.push_back(p);
  for (const auto& g : torch::autograd::grad({second.y.square().sum()}, wanted, {}, {}, false, true)) {
    ASSERT_TRUE(g.defined());
    EXPECT_GT(g.norm().item<double>(), 0);
  }
}

// Two ranks with the same weights and half of the tokens each: losses, the sum of their gradients and the
// controllers' state are those of one rank with all tokens.
TEST(Ranks, AMixtureOverTwoRanksTrainsLikeOne) {
  const gw::Json json{
      {"experts", 4},
      {"policy", {{"part", "softmax_top_k"}, {"k", 2}, {"selection_bias", true}}},
      {"balancers",
       {R"({"part": "switch_loss", "coefficient": 1.0})", R"({"part": "importance", "coefficient": 1.0})",
        R"({"part": "bias_update", "rule": "proportional"})"}}};
  const auto x = tokens(20);
  const auto step = [&](gw::Mixture& mixture, const at::Tensor& mine) {
    const auto out = mixture.forward(mine);
    auto loss = out.y.square().sum() / 20;  // a task's loss over the tokens of the whole batch
    for (const auto& [name, value] : out.plan.aux) loss = loss + value;
    auto g = torch::autograd::grad({loss}, mixture.parameters());
    mixture.end_step();
    return g;
  };
  const auto one = make(json);
  const auto expected = step(*one, x);
  std::vector<std::vector<at::Tensor>> parts(2);
  std::vector<at::Tensor> bias(2);
  gw::test::ThreadRanks(2).run([&](size_t rank, std::shared_ptr<const gw::RankSum> ranks) {
    const auto mixture = make(json);
    mixture->set_ranks(ranks);
    parts[rank] = step(*mixture, rank == 0 ? x.narrow(0, 0, 13) : x.narrow(0, 13, 7));
    bias[rank] = mixture->named_buffers()["policy_selection_bias"];
  });
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_LT(gap(parts[0][i] + parts[1][i], expected[i]), 1e-12) << i;
  for (const auto& b : bias) EXPECT_LT(gap(b, one->named_buffers()["policy_selection_bias"]), 1e-15);
  EXPECT_GT(bias[0].abs().sum().item<double>(), 0);
}

}  // namespace gw::test::wiring_cases
