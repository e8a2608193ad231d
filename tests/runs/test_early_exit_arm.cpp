// The arm that puts exits on a trained network: what it leaves, what it refuses.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "gatewright/runs/arm.h"
#include "tests/runs/scratch.h"
#include "tests/support/refusal.h"

namespace gw::test::early_exit_arm_cases {

Json whole(Json more = Json::object()) {
  Json table{
      {"name", "small"},
      {"arm", "whole"},
      {"seed", 1},
      {"data",
       {{"part", "synthetic"}, {"classes", 3}, {"height", 12}, {"width", 12}, {"train", 300}, {"test", 150}}},
      {"task", "classification"},
      {"network", {{"part", "image"}, {"backbone", "small_cnn"}, {"backbone_options", {{"width", 4}}}}},
      {"objective", "natural"},
      {"optimizer", "adam"},
      {"schedule", {{"lr", 0.01}}},
      {"validation", 0.3},
      {"epochs", 3},
      {"batch", 16}};
  table.update(more);
  return table;
}

Json exits(Json more = Json::object()) {
  Json how{{"prices", {0.0, 4.0}}, {"price", 0.5}, {"warm_epochs", 4}, {"epochs", 4}, {"alternate", 5}};
  how.update(more);
  return {{"name", "small"}, {"arm", "exits"}, {"seed", 1}, {"early_exit", how}};
}

std::shared_ptr<Arm> arm(const Json& table) { return make_arm(table, "the test"); }

ArmResult ran(const Json& table, const std::string& directory, const std::vector<Artefact>& from,
              bool timed = false) {
  ArmRun run;
  run.directory = directory, run.timing_rounds = timed ? 2 : 0;
  double now = 0;
  run.now_s = [now]() mutable { return now += 1; };
  run.wall_time_s = [] { return 1.0; };
  return arm(table)->run(run, from);
}

TEST(EarlyExitArm, LeavesWhatItSaysAndNothingElse) {
  const Scratch scratch;
  ran(whole(), scratch / "whole", {});
  const std::vector<Artefact> from{{"whole", scratch / "whole"}};
  const auto result = ran(exits(), scratch / "exits", from, /*timed=*/true);
  const auto left = arm(exits())->leaves();
  for (const auto& item : result.metrics)
    EXPECT_NE(std::find(left.metrics.begin(), left.metrics.end(), item.first), left.metrics.end())
        << item.first;
  const auto& table = result.tables.at("exits");
  ASSERT_EQ(table.names.size(), 4u) << "three exits and the end";
  double share = 0, cost = 0, right = 0;
  for (const auto& row : table.values) {
    share += row[0], cost += row[0] * row[2];
    right += row[0] > 0 ? row[0] * row[1] : 0;
  }
  EXPECT_NEAR(share, 1, 1e-9);
  EXPECT_NEAR(cost, result.metrics.at("cost"), 1e-9);
  EXPECT_NEAR(right, result.metrics.at("exit_accuracy"), 1e-9);
  EXPECT_EQ(result.curves.at("accuracy").x.size(), 2u);
  // A clock that moves by one at each look measures equal times.
  EXPECT_EQ(result.metrics.at("time_ratio.1"), 1);
  EXPECT_EQ(result.metrics.at("time_ratio.128"), 1);
  const Scratch other;
  const auto again = ran(exits(), other / "exits", from);
  EXPECT_EQ(again.metrics.at("exit_accuracy"), result.metrics.at("exit_accuracy")) << "the seed decides";
  EXPECT_EQ(again.metrics.count("time_ratio.1"), 0u) << "without rounds no times";
}

TEST(EarlyExitArm, RefusesWhatItCannotStartFrom) {
  const Scratch scratch;
  const auto training = arm(whole()), mine = arm(exits());
  mine->validate({training.get()});
  expect_part(refusal<ValueError>([&] { mine->validate({}); }), "expected one training");
  expect_part(refusal<ValueError>([&] { mine->validate({mine.get()}); }), "got another arm");
  const auto free = arm(exits({{"prices", Json::array()}}));
  expect_part(refusal<ValueError>([&] { free->validate({training.get()}); }), "expected \"prices\"");
  expect_part(refusal<ValueError>([] {
                arm(exits({{"weighting", "detach"}}));
              }),
              "did you mean \"detached\"?");
  ran(whole({{"validation", 0.0}}), scratch / "all", {});
  expect_part(refusal<ValueError>([&] {
                ran(exits(), scratch / "a", {{"all", scratch / "all"}});
              }),
              "expected held-out examples");
  const Json routed{{"network",
                     {{"part", "image"},
                      {"backbone", "small_cnn"},
                      {"backbone_options", {{"width", 4}}},
                      {"experts", 2},
                      {"ratio", 0.5}}}};
  ran(whole(routed), scratch / "routed", {});
  expect_part(refusal<ValueError>([&] {
                ran(exits(), scratch / "b", {{"routed", scratch / "routed"}});
              }),
              "expected a dense network, got one of 2 experts");
}

}  // namespace gw::test::early_exit_arm_cases
