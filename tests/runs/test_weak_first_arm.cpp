// The arm that asks a strong expert for few nodes: what it leaves, what it refuses.
#include <gtest/gtest.h>

#include <algorithm>

#include "gatewright/runs/arm.h"
#include "tests/runs/scratch.h"
#include "tests/support/refusal.h"

namespace gw::test::weak_first_arm_cases {

Json both(Json more = Json::object()) {
  Json table{{"name", "small"},
             {"arm", "both"},
             {"seed", 1},
             {"data", {{"part", "block_graph"}, {"nodes", 400}, {"telling", 0.8}}},
             {"task", "expert_classification"},
             {"network", {{"part", "mowst"}, {"width", 8}}},
             {"objective", "natural"},
             {"optimizer", "adam"},
             {"schedule", {{"lr", 0.01}}},
             {"validation", 0.25},
             {"epochs", 10},
             {"batch", 400}};
  table.update(more);
  return table;
}

Json few(Json more = Json::object()) {
  Json how{{"shares", {0.0, 0.3, 1.0}}, {"share", 0.1}};
  how.update(more);
  return {{"name", "small"}, {"arm", "few"}, {"seed", 1}, {"weak_first", how}};
}

std::shared_ptr<Arm> arm(const Json& table) { return make_arm(table, "the test"); }

ArmResult ran(const Json& table, const std::string& directory, const std::vector<Artefact>& from = {}) {
  ArmRun run;
  run.directory = directory, run.timing_rounds = 2;
  double now = 0;
  run.now_s = [now]() mutable { return now += 1; };
  run.wall_time_s = [] { return 1.0; };
  return arm(table)->run(run, from);
}

// Fails if the share asked for does not follow the confidences, or if what is left out is computed.
TEST(WeakFirstArm, AsksForTheShareThatItWasTold) {
  const Scratch scratch;
  ran(both(), scratch / "both");
  const auto result = ran(few(), scratch / "few", {{"both", scratch / "both"}});
  const auto left = arm(few())->leaves();
  for (const auto& item : result.metrics)
    EXPECT_NE(std::find(left.metrics.begin(), left.metrics.end(), item.first), left.metrics.end())
        << item.first;
  EXPECT_EQ(result.metrics.at("time_ratio"), 1) << "a clock that moves by one at each look";
  const auto& asked = result.curves.at("asked");
  ASSERT_EQ(asked.y.size(), 3u);
  EXPECT_LT(asked.y[0], 0.05);  // test nodes that are less sure than every validation node
  EXPECT_NEAR(asked.y[1], 0.3, 0.2);
  EXPECT_GT(asked.y[2], 0.9);
  EXPECT_LT(asked.x[0], 0.5);
  EXPECT_LT(asked.x[0], asked.x[1]);
  EXPECT_LT(asked.x[1], asked.x[2]);
  EXPECT_LT(result.metrics.at("cost"), asked.x[1]);
  EXPECT_EQ(ran(few(), scratch / "again", {{"both", scratch / "both"}}).metrics, result.metrics);
}

TEST(WeakFirstArm, RefusesWhatItCannotStartFrom) {
  const Scratch scratch;
  const auto mine = arm(few());
  expect_part(refusal<ValueError>([&] { mine->validate({}); }), "expected one training");
  expect_part(refusal<ValueError>([&] { mine->validate({mine.get()}); }), "something else");
  ran(both({{"validation", 0.0}}), scratch / "all");
  expect_part(refusal<ValueError>([&] {
                ran(few(), scratch / "a", {{"all", scratch / "all"}});
              }),
              "expected validation nodes");
  ran(both({{"network", {{"part", "graph"}, {"width", 8}}}}), scratch / "graph");
  expect_part(refusal<ValueError>([&] {
                ran(few(), scratch / "b", {{"graph", scratch / "graph"}});
              }),
              "arms/weak_first: expected networks/mowst");
}

}  // namespace gw::test::weak_first_arm_cases
