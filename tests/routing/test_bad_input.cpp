// What callers get wrong beside scores (test_conformance.cpp has those), over every part that it can happen
// to: each refusal says who, what was expected, what came, and what to do.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "gatewright/routing/select.h"
#include "tests/routing/parts.h"

namespace gw::test::bad_input_cases {

using gw::Json;

gw::RouterInputs with_task(int64_t id) {
  auto inputs = inputs_for(6);
  inputs.task[3] = id;
  return inputs;
}

std::string out_of_range(const std::string& part, const std::string& field, const std::string& limit,
                         int64_t id) {
  return fmt::format("{}: expected {} ids in [0, {}), got {} for token 3; number them from 0", part, field,
                     limit, id);
}

TEST(BadInput, TaskIdsOutOfRange) {
  const auto x = gw::ops::normal(gw::Rng(1), {6, kWidth}, 0, 1);
  int gates = 0;
  for (const auto& name : names("gates")) {
    if (!has_trait("gates", name, "needs task")) continue;
    ++gates;
    const auto part = gw::make_part<gw::Gate>(name, {{"tasks", 2}}, {kWidth, kExperts, 1});
    EXPECT_NO_THROW(part->score(x, with_task(1)));
    for (const int64_t id : {int64_t{-1}, int64_t{2}, INT64_MAX}) {
      expect_refusal([&] { part->score(x, with_task(id)); }, out_of_range("gates/" + name, "task", "2", id));
    }
    auto few = with_task(0);
    few.task = few.task.narrow(0, 0, 5);
    expect_refusal([&] { part->score(x, few); },
                   "gates/" + name + ": expected task [6] of int64, got 5 values of Long");
  }
  EXPECT_EQ(gates, 2);  // multi_gate, task_aware
  const auto balancer = gw::make_part<gw::Balancer>("mutual_information", {{"by", "task"}}, {kExperts});
  for (const int64_t id :
       {int64_t{-1}, INT64_MAX}) {  // a hash in place of an id must not ask for a table of that size
    auto plan = plan_of(*policy("softmax_top_k"), distinct_scores(6, 1), true);
    plan.facts.task = with_task(id).task;
    expect_refusal([&] { balancer->loss(plan); },
                   out_of_range("balancers/mutual_information", "task", "1048576", id));
  }
}

TEST(BadInput, OtherIdsOutOfRange) {
  auto inputs = inputs_for(6);
  inputs.token_id[3] = -4;
  expect_refusal([&] { policy("hash")->plan_for(distinct_scores(6, 1), inputs, true); },
                 out_of_range("policies/hash", "token_id", "…", -4));
  inputs.sequence[3] = 6;
  const auto gate = gw::make_part<gw::Gate>("sequence", Json::object(), {kWidth, kExperts, 1});
  expect_refusal(
      [&] {
        gate->score(at::zeros({6, kWidth}), inputs);
      },
      out_of_range("gates/sequence", "sequence", "6", 6));
  inputs.route[3] = kExperts;
  expect_refusal([&] { policy("given")->plan_for(distinct_scores(6, 1), inputs, true); },
                 "expected expert ids in [-1, 4), got 4 for token 3");
}

// Options by name, whatever part has them: a new part with a temperature is tested by being there.
TEST(BadInput, TemperaturesThatAreNotPositive) {
  int parts = 0;
  for (const char* kind : {"gates", "policies"}) {
    for (const auto& name : names(kind)) {
      if (!has_option(kind, name, "temperature")) continue;
      ++parts;
      for (const double bad : {-1.0, 0.0, std::nan(""), HUGE_VAL}) {
        const Json options{{"temperature", bad}};
        const auto make = [&] {
          if (kind[0] == 'p') policy(name, options);
          if (kind[0] == 'g') gw::make_part<gw::Gate>(name, options, {kWidth, kExperts, 1});
        };
        expect_refusal(make, fmt::format("{}/{}: expected \"temperature\"", kind, name));
      }
    }
  }
  EXPECT_GE(parts, 4);  // cosine, dense_to_sparse, gumbel_softmax, sinkhorn
}

TEST(BadInput, TransportThatDoesNotConverge) {
  auto scores = distinct_scores(64, 3);
  scores.select(1, 1).add_(5);
  const Json hurried{{"iterations", 2}, {"tolerance", 1e-9}, {"strict", true}};
  const auto message = [&](const std::string& name) {
    auto options = hurried;
    if (name == "sparse_transport")
      options["buffer"] = 1.5;  // with the least room its plan is an assignment, which needs no rounds
    try {
      policy(name, options)->plan(scores, true, gw::Rng(1));
    } catch (const gw::ValueError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  for (const auto* name : {"sinkhorn", "sparse_transport"}) {
    const auto text = message(name);
    EXPECT_EQ(text.find("policies/" + std::string(name) + ": expected "), 0u) << text;
    EXPECT_NE(text.find(" after 2 iterations"), std::string::npos) << text;
    const auto got = text.find(", got ");
    ASSERT_NE(got, std::string::npos) << text;
    EXPECT_GT(std::stod(text.substr(got + 6)), 1e-9)
        << text;  // the residual, a number above what was asked for
    EXPECT_NE(text.find("; raise "), std::string::npos) << text;
  }
}

TEST(BadInput, CapacityZeroIsNoLimitAndNegativeIsRefused) {
  for (const auto& name : names("policies")) {
    if (!has_option("policies", name, "capacity")) continue;
    Json options{{"capacity", 0}, {"capacity_factor", 0.0}, {"evaluation_capacity_factor", 0.0}};
    auto scores = scores_for(*policy(name), 24, 8).abs();
    scores.select(1, 2).add_(10);  // every token wants expert 2
    const auto plan = plan_of(*policy(name, options), scores, false);
    EXPECT_EQ(plan.rows_of(2), 24) << name;
    options["capacity"] = -1;
    expect_refusal([&] { policy(name, options); }, "policies/" + name + ": expected \"capacity\"");
  }
  for (const double factor : {0.0, -1.0}) {
    expect_refusal(
        [&] {
          policy("expert_choice", {{"capacity_factor", factor}});
        },
        "policies/expert_choice: expected \"capacity_factor\"");
  }
}

// Every expert takes a token although there are fewer tokens than experts; none takes one twice.
TEST(BadInput, FewerTokensThanExperts) {
  for (const int64_t tokens : {0, 1, 2, 3}) {
    const auto plan =
        plan_of(*policy("expert_choice", {{"capacity_factor", 1.0}}), distinct_scores(tokens, 4), true);
    gw::validate_plan(plan);
    for (int64_t e = 0; e < kExperts; ++e) EXPECT_EQ(plan.rows_of(e), std::min<int64_t>(tokens, 1)) << tokens;
  }
}

TEST(BadInput, MoreExpertsThanThereAre) {
  for (const auto& name : names("policies")) {
    if (!has_option("policies", name, "k")) continue;
    expect_refusal([&] { policy(name, {{"k", 4096}}); }, "policies/" + name + ": expected k <");
  }
}

}  // namespace gw::test::bad_input_cases
