// The arm that makes a trained network the own of users: what it starts from, what it leaves, what it
// refuses.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "gatewright/runs/arm.h"
#include "tests/runs/scratch.h"
#include "tests/support/refusal.h"

namespace gw::test::customisation_arm_cases {

Json global(double validation = 0.2) {
  return {
      {"name", "small"},
      {"arm", "global"},
      {"seed", 1},
      {"data",
       {{"part", "synthetic"}, {"classes", 3}, {"height", 8}, {"width", 8}, {"train", 300}, {"test", 300}}},
      {"task", "classification"},
      {"network", {{"part", "image"}, {"backbone", "small_cnn"}, {"backbone_options", {{"width", 4}}}}},
      {"objective", "natural"},
      {"optimizer", "adam"},
      {"schedule", {{"lr", 0.01}}},
      {"validation", validation},
      {"epochs", 3},
      {"batch", 16}};
}

Json own(const std::string& method, Json more = Json::object()) {
  Json how{{"method", method},
           {"everybody", 100},
           {"replay", 40},
           {"epochs", 2},
           {"users", {{"users", 2}, {"train", 40}, {"test", 60}, {"rotation", 40.0}}}};
  how.update(more);
  return {{"name", "small"}, {"arm", "own"}, {"seed", 1}, {"customisation", how}};
}

std::shared_ptr<Arm> arm(const Json& table) { return make_arm(table, "the test"); }

ArmResult ran(const Json& table, const std::string& directory, const std::vector<Artefact>& from) {
  ArmRun run;
  run.directory = directory, run.timing_rounds = 0;
  run.now_s = run.wall_time_s = [] { return 1.0; };
  return arm(table)->run(run, from);
}

TEST(CustomisationArm, EveryMethodMeasuresTheSameUsers) {
  const Scratch scratch;
  ran(global(), scratch / "global", {});
  const std::vector<Artefact> from{{"global", scratch / "global"}};
  std::map<std::string, ArmResult> results;
  for (const char* method : {"gate", "local", "fine_tune", "prior"}) {
    const auto result = ran(own(method), scratch / method, from);
    const auto left = arm(own(method))->leaves();
    for (const auto& item : result.metrics)
      EXPECT_NE(std::find(left.metrics.begin(), left.metrics.end(), item.first), left.metrics.end())
          << item.first;
    EXPECT_EQ(result.tables.at("users").names.size(), 2u);
    results[method] = result;
  }
  const auto& gate = results["gate"].metrics;
  for (const auto& [method, result] : results) {
    EXPECT_EQ(result.metrics.at("user_global"), gate.at("user_global")) << method;
    EXPECT_EQ(result.metrics.at("generic_global"), gate.at("generic_global")) << method;
  }
  EXPECT_GE(gate.at("user_oracle"), gate.at("user_accuracy"));
  EXPECT_LE(gate.at("handed_user"), 1);
  EXPECT_EQ(results["local"].metrics.at("handed_user"), 1);
  EXPECT_LT(results["local"].metrics.at("parameters_ratio"), gate.at("parameters_ratio"));
  EXPECT_EQ(results["fine_tune"].metrics.at("parameters_ratio"), 1);
  EXPECT_FALSE(std::filesystem::exists(scratch / "fine_tune/fine_tuned"))
      << "checkpoints of users stay behind";
  const auto again = ran(own("gate"), scratch / "gate", from);
  EXPECT_EQ(again.metrics, gate) << "read, not run again";
  const Scratch other;
  EXPECT_EQ(ran(own("gate"), other / "gate", from).metrics, gate) << "the seed decides";
}

TEST(CustomisationArm, RefusesWhatItCannotStartFrom) {
  const Scratch scratch;
  const auto training = arm(global()), mine = arm(own("gate"));
  mine->validate({training.get()});
  expect_part(refusal<ValueError>([&] { mine->validate({}); }), "expected one training of classes");
  expect_part(refusal<ValueError>([&] { mine->validate({mine.get()}); }), "got another arm");
  expect_part(refusal<ValueError>([] { arm(own("gates")); }), "did you mean \"gate\"?");
  expect_part(refusal<ValueError>([] {
                arm(own("gate", {{"users", {{"user", 3}}}}));
              }),
              "did you mean \"users\"?");
  ran(global(), scratch / "global", {});
  const std::vector<Artefact> from{{"global", scratch / "global"}};
  expect_part(refusal<ValueError>([&] {
                ran(own("gate", {{"everybody", 300}}), scratch / "all", from);
              }),
              "expected more than 300 test images");
  expect_part(refusal<ValueError>([&] {
                ran(own("gate", {{"replay", 4000}}), scratch / "much", from);
              }),
              "lower everybody or replay");
  const Json many{{"users", {{"users", 1}, {"train", 150}, {"test", 60}}}};
  expect_part(refusal<ValueError>([&] { ran(own("gate", many), scratch / "many", from); }),
              "expected at least 210 images to draw a user's from, got 200");
}

}  // namespace gw::test::customisation_arm_cases
