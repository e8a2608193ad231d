// Every policy and every balancer at the ends of what scores can be, in replay, under capacity, and with
// other draws.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "tests/routing/parts.h"

namespace gw::test::conformance_extremes_cases {

class PolicyExtremes : public testing::TestWithParam<std::string> {};

/// The options that make all weights of a token sum to one, where a part takes them.
gw::Json renormalised(const std::string& name) {
  gw::Json options = gw::Json::object();
  if (has_option("policies", name, "renormalise") && name != "switch_top1") options["renormalise"] = true;
  return options;
}

/// The experts of each token [T, K] in the order of their rows, −1 where there are no more.
at::Tensor slots_of(const gw::RoutingPlan& plan) {
  std::vector<std::vector<int64_t>> chosen(static_cast<size_t>(plan.tokens));
  for (int64_t e = 0; e < plan.experts(); ++e) {
    for (int64_t r = plan.offsets[static_cast<size_t>(e)]; r < plan.offsets[static_cast<size_t>(e) + 1];
         ++r) {
      chosen[static_cast<size_t>(plan.token[r].item<int64_t>())].push_back(e);
    }
  }
  size_t width = 1;
  for (const auto& c : chosen) width = std::max(width, c.size());
  auto slots = at::full({plan.tokens, static_cast<int64_t>(width)}, -1, at::kLong);
  for (size_t t = 0; t < chosen.size(); ++t) {
    for (size_t j = 0; j < chosen[t].size(); ++j)
      slots[static_cast<int64_t>(t)][static_cast<int64_t>(j)] = chosen[t][j];
  }
  return slots;
}

at::Tensor present(const gw::RoutingPlan& plan) {
  auto out = at::zeros({plan.tokens, plan.experts()}, at::kBool);
  if (plan.rows() > 0)
    out.index_put_({plan.token, gw::expert_of_rows(plan)}, at::ones({plan.rows()}, at::kBool));
  return out;
}

// Experts that a bias, overflow or replay put far below the best: in f32 they weigh what they weigh in f64,
// wherever f32 holds such a number.
TEST_P(PolicyExtremes, NoChosenExpertLosesItsWeightToF32) {
  for (const auto& options : {gw::Json::object(), renormalised(GetParam())}) {
    const auto part = policy(GetParam(), options);
    if (part->traits().soft) return;
    const auto scores = gw::ops::normal(gw::Rng(5), {40, part->columns()}, 0, 150).to(at::kFloat);
    scores.narrow(0, 0, 15).sub_(500);  // all of a token's sigmoids are 0 in f32
    const auto t = at::arange(40, at::kLong);
    const bool shared = GetParam() == "cmr";  // expert 0 belongs to every route of its
    const auto other = t.remainder(kExperts - 1) + 1;
    const auto expert =
        shared
            ? at::stack({t * 0, other}, 1)
            : at::stack({t.remainder(kExperts),
                         (t + 1 + at::div(t, kExperts, "floor").remainder(kExperts - 1)).remainder(kExperts)},
                        1);
    const auto weights = [&](at::ScalarType type) {
      return gw::dense_weights(part->plan_given(scores.to(type), expert, false, gw::Rng(1))).to(at::kDouble);
    };
    try {
      const auto exact = weights(at::kDouble), rounded = weights(at::kFloat);
      const auto holds = exact.gt(1e-37);
      const auto error =
          ((rounded - exact).abs() / exact.clamp_min(1e-37)).masked_fill(holds.logical_not(), 0);
      if (GetParam() == "adamole")
        return;  // a difference of two probabilities, never that of an expert far below the best
      EXPECT_LT(error.max().item<double>(), 1e-3) << options.dump();
      EXPECT_GT(holds.sum().item<int64_t>(), options.value("renormalise", false) ? 20 : 0)
          << "this test would prove nothing";
    } catch (const gw::ValueError& error) {
      EXPECT_NE(std::string(error.what()).find("expected one that can weigh given routes"), std::string::npos)
          << error.what();
    }
  }
}

TEST_P(PolicyExtremes, ReplayOfItsOwnPlanIsThePlan) {
  for (const auto* overflow : {"drop", "bypass"}) {
    gw::Json options = gw::Json::object();
    if (has_option("policies", GetParam(), "capacity"))
      options["capacity"] = 9, options["overflow"] = overflow;
    for (const bool train : {true, false}) {
      const auto part = policy(GetParam(), options);
      if (part->traits().soft) return;
      const auto scores = scores_for(*part, 24, 8);
      const auto own = plan_of(*part, scores, train);
      try {
        const auto again = part->plan_given(scores, slots_of(own), train, *inputs_for(24).rng);
        EXPECT_TRUE(own.token.equal(again.token) && own.offsets == again.offsets);
        EXPECT_LT((own.weight - again.weight).abs().max().item<double>(), 1e-15) << options.dump() << train;
        const auto passed = [](const gw::RoutingPlan& p) {
          return p.bypass.defined() ? p.bypass : at::zeros({p.tokens}, at::kDouble);
        };
        EXPECT_TRUE(at::allclose(passed(own), passed(again), 1e-14, 1e-15)) << options.dump() << train;
      } catch (const gw::ValueError& error) {
        EXPECT_NE(std::string(error.what()).find("expected one that can weigh given routes"),
                  std::string::npos)
            << error.what();
      }
    }
  }
}

// By hand: tokens by their largest weight, all first choices before all second ones, each while there is
// room. `last`: an expert that comes behind all others (-1: none), as CMR's shared one.
at::Tensor kept_by_priority(const at::Tensor& weight, const at::Tensor& chosen, const at::Tensor& first,
                            int64_t capacity, int64_t last) {
  const int64_t tokens = weight.size(0);
  const auto largest = weight.masked_fill(chosen.logical_not(), -1).amax(1);
  std::vector<int64_t> order(static_cast<size_t>(tokens));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return largest[a].item<double>() > largest[b].item<double>();
  });
  std::vector<std::vector<int64_t>> choices(static_cast<size_t>(tokens));  // first choice, then by weight
  for (int64_t t = 0; t < tokens; ++t) {
    auto& c = choices[static_cast<size_t>(t)];
    for (int64_t e = 0; e < weight.size(1); ++e) {
      if (chosen[t][e].item<bool>()) c.push_back(e);
    }
    std::stable_sort(c.begin(), c.end(), [&](int64_t a, int64_t b) {
      const int64_t best = first[t].item<int64_t>();
      if ((a == best) != (b == best)) return a == best;
      if ((a == last) != (b == last)) return b == last;
      return weight[t][a].item<double>() > weight[t][b].item<double>();
    });
  }
  auto kept = at::zeros_like(chosen);
  std::vector<int64_t> rows(static_cast<size_t>(weight.size(1)), 0);
  for (size_t rank = 0; rank < static_cast<size_t>(weight.size(1)); ++rank) {
    for (const int64_t t : order) {
      const auto& c = choices[static_cast<size_t>(t)];
      if (rank < c.size() && rows[static_cast<size_t>(c[rank])]++ < capacity) kept[t][c[rank]] = true;
    }
  }
  return kept;
}

TEST_P(PolicyExtremes, PriorityIsByWeightWhateverTheOffsetOfAToken) {
  if (!has_option("policies", GetParam(), "drop_order")) return;
  gw::Json options{{"capacity_factor", 0.0},
                   {"evaluation_capacity_factor", 0.0},
                   {"drop_order", "priority"},
                   {"renormalise", false}};
  const bool by_definition =
      GetParam() == "top_k_softmax" || GetParam() == "noisy_top_k";  // renormalised, that is: refuse without
  if (by_definition) options.erase("renormalise");
  const auto part = policy(GetParam(), options);
  for (const int64_t capacity : {1, 3, 7}) {
    const auto offset = gw::ops::normal(gw::Rng(6), {24, 1}, 0, 3).to(at::kDouble);
    const auto scores = scores_for(*part, 24, 8) + offset;
    const auto free = plan_of(*part, scores, false);
    const auto weight = by_definition ? at::softmax(free.scores, 1) : gw::dense_weights(free);
    options["capacity"] = capacity;
    const auto plan = plan_of(*policy(GetParam(), options), scores, false);
    EXPECT_LT(plan.rows(), free.rows()) << "nothing is dropped: this test would prove nothing";
    const auto want = kept_by_priority(weight, present(free), free.facts.first_choice, capacity,
                                       GetParam() == "cmr" ? 0 : -1);
    EXPECT_TRUE(present(plan).equal(want)) << capacity << "\n" << present(plan).ne(want).nonzero();
  }
}

// Which policies draw while training is stated here, so that one that stops drawing, or draws the same for
// every stream, is found.
TEST_P(PolicyExtremes, AnotherStreamIsAnotherDraw) {
  static const std::set<std::string> kDraw{"batch_priority", "cmr",         "gshard_top2", "gumbel_softmax",
                                           "nllb_top2",      "noisy_top_k", "random",      "sigmoid_top_k",
                                           "sparsemixer",    "switch_top1"};
  const auto part = policy(GetParam());
  const auto scores = scores_for(*part, 64, 8) * 0.1;
  std::vector<at::Tensor> seen;
  for (uint64_t stream = 0; stream < 24; ++stream) {
    auto inputs = inputs_for(64);
    inputs.rng = gw::Rng(stream);
    const auto plan = part->plan_for(scores, inputs, true);
    const auto weights = gw::dense_weights(plan);
    EXPECT_TRUE(weights.equal(gw::dense_weights(part->plan_for(scores, inputs, true))))
        << "the same stream, another draw";
    const bool known =
        std::any_of(seen.begin(), seen.end(), [&](const at::Tensor& other) { return other.equal(weights); });
    if (!known) seen.push_back(weights);
  }
  // One draw for the whole batch (4 experts, 16 subsets), or one where two experts are close rivals.
  const bool few = GetParam() == "random" || GetParam() == "sigmoid_top_k" || GetParam() == "sparsemixer";
  EXPECT_GE(seen.size(), kDraw.count(GetParam()) == 0 ? 1U : few ? 3U : 24U);
  EXPECT_TRUE(kDraw.count(GetParam()) == 1 || seen.size() == 1) << "draws, and is not in the list above";
}

struct Table {
  const char* name;
  at::Tensor scores;
};

std::vector<Table> extreme_tables(int64_t columns) {
  const auto signs = gw::ops::normal(gw::Rng(7), {9, columns}, 0, 1).to(at::kDouble).sign();
  auto seen = signs.clone();  // each token may see an expert: -1e30 is below the mask
  seen.select(1, 0).fill_(1);
  const auto even = at::arange(columns, at::kLong).remainder(2).to(at::kDouble).expand({6, columns});
  return {{"no tokens", at::zeros({0, columns}, at::kDouble)},
          {"zeros", at::zeros({7, columns}, at::kDouble)},
          {"all equal", at::full({7, columns}, 3, at::kDouble)},
          {"ties", even.clone()},
          {"+-200", 200 * signs},
          {"all 200", at::full({5, columns}, 200, at::kDouble)},
          {"all -200", at::full({5, columns}, -200, at::kDouble)},
          {"+-1e30", 1e30 * seen},
          {"one token", at::linspace(-3, 3, columns, at::kDouble).view({1, columns})},
          {"one token of -200", at::linspace(-200, -199, columns, at::kDouble).view({1, columns})}};
}

// Named where a value itself, not the way to it, is beyond f32.
bool beyond_f32(const std::string& balancer, const Table& table, at::ScalarType type) {
  return balancer == "z_loss" && type == at::kFloat && std::string(table.name) == "+-1e30";  // (1e30)²
}

void check_losses(const gw::Policy& part, const Table& table, at::ScalarType type, bool train,
                  const std::string& where) {
  const auto tokens = table.scores.size(0);
  auto scores = table.scores.to(type).requires_grad_(true);
  auto inputs = inputs_for(tokens);
  inputs.route = inputs.route.remainder(part.experts());
  auto plan = part.plan_for(scores, inputs, train);
  EXPECT_TRUE(plan.weight.isfinite().all().item<bool>()) << where << ", weights";
  plan.facts.sequence = inputs.sequence;
  plan.facts.task = inputs.task;
  for (const auto& name : names("balancers")) {
    const auto options =
        name == "device" && part.experts() == 1 ? gw::Json{{"groups", 1}} : gw::Json::object();
    const auto balancer = gw::make_part<gw::Balancer>(name, options, {part.experts()});
    at::Tensor loss;
    try {
      loss = balancer->loss(plan);
    } catch (const gw::ValueError& error) {
      EXPECT_NE(std::string(error.what()).find("got soft slots"), std::string::npos)
          << where << ", " << error.what();
      continue;
    }
    if (beyond_f32(name, table, type)) continue;
    EXPECT_TRUE(at::isfinite(loss).all().item<bool>())
        << where << ", loss of " << name << ": " << loss.item<double>();
    if (!loss.requires_grad()) continue;
    const auto g =
        torch::autograd::grad({loss}, {scores}, {}, /*retain_graph=*/true, false, /*allow_unused=*/true)[0];
    EXPECT_TRUE(!g.defined() || at::isfinite(g).all().item<bool>()) << where << ", gradient of " << name;
  }
  if (!plan.weight.requires_grad()) return;
  const auto g = torch::autograd::grad({gw::dense_weights(plan).square().sum()}, {scores}, {}, false, false,
                                       /*allow_unused=*/true)[0];
  EXPECT_TRUE(!g.defined() || at::isfinite(g).all().item<bool>()) << where << ", gradient of the weights";
}

TEST_P(PolicyExtremes, EveryBalancersLossAndGradientStayFinite) {
  for (const int64_t experts : {kExperts, int64_t{1}}) {
    gw::Json options = gw::Json::object();
    if (has_option("policies", GetParam(), "k") && experts == 1) options["k"] = 1;
    if (has_option("policies", GetParam(), "strict")) options["strict"] = false;
    std::shared_ptr<gw::Policy> part;
    try {
      part = policy(GetParam(), options, experts);
    } catch (const gw::ValueError&) {  // pairs need two experts
      EXPECT_EQ(experts, 1);
      continue;
    }
    for (const auto& table : extreme_tables(part->columns())) {
      for (const auto type : {at::kDouble, at::kFloat}) {
        for (const bool train : {true, false}) {
          const auto where = fmt::format("{}, {} experts, {}, {}, {}", GetParam(), experts, table.name,
                                         c10::toString(type), train ? "training" : "evaluation");
          check_losses(*part, table, type, train, where);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, PolicyExtremes, testing::ValuesIn(names("policies")), kPartName);

}  // namespace gw::test::conformance_extremes_cases
