// The arm that hands unsure inputs over: what it starts from, what it leaves, what it refuses.
#include <gtest/gtest.h>

#include <filesystem>

#include "gatewright/runs/arm.h"
#include "tests/runs/scratch.h"
#include "tests/support/refusal.h"

namespace gw::test::deferral_arm_cases {

Json training(const std::string& arm, const Json& data) {
  return {{"name", "small"},
          {"arm", arm},
          {"seed", 1},
          {"data", data},
          {"task", {{"part", "classification"}}},
          {"network",
           {{"part", "tabular"},
            {"width", 8},
            {"mixture",
             {{"experts", 1},
              {"policy", {{"part", "softmax_top_k"}, {"k", 1}}},
              {"bank", {{"part", "mlp"}, {"hidden", 8}}}}}}},
          {"objective", {{"part", "natural"}}},
          {"optimizer", {{"part", "adam"}}},
          {"schedule", {{"lr", 0.02}}},
          {"epochs", 8},
          {"batch", 16}};
}

const Json kIris{{"part", "table"}, {"path", "iris.csv"}, {"response", "species"}, {"test_share", 0.5}};

Json deferring(const Json& options) {
  return {{"name", "small"}, {"arm", "defers"}, {"seed", 1}, {"deferral", options}};
}

std::shared_ptr<Arm> arm(const Json& table) { return make_arm(table, "the test"); }

ArmResult ran(const Json& table, const std::string& directory, const std::vector<Artefact>& from) {
  ArmRun run;
  run.directory = directory, run.timing_rounds = 0;
  run.now_s = run.wall_time_s = [] { return 1.0; };
  return arm(table)->run(run, from);
}

TEST(DeferralArm, KeepsTheSureAndLeavesACurve) {
  const Scratch scratch;
  ran(training("weak", kIris), scratch / "weak", {});
  ran(training("strong", kIris), scratch / "strong", {});
  const Json options{{"bound", 0.15}, {"trials", 20}, {"expert", "strong"}};
  const std::vector<Artefact> from{{"weak", scratch / "weak"}, {"strong", scratch / "strong"}};
  const auto result = ran(deferring(options), scratch / "defers", from);
  EXPECT_GT(result.metrics.at("model_accuracy"), 0.7);
  EXPECT_GE(result.metrics.at("joint_accuracy"), 0.7);
  EXPECT_EQ(result.curves.at("accuracy").x.back(), 1.0);
  EXPECT_NEAR(result.curves.at("accuracy").y.back(), result.metrics.at("model_accuracy"), 1e-12);
  const auto left = arm(deferring(options))->leaves();
  for (const auto& item : result.metrics)
    EXPECT_NE(std::find(left.metrics.begin(), left.metrics.end(), item.first), left.metrics.end())
        << item.first;
  const auto again = ran(deferring(options), scratch / "defers", from);
  EXPECT_EQ(again.metrics, result.metrics) << "read, not run again";
  auto other = kIris;
  other["seed"] = 5;
  ran(training("strong", other), scratch / "other", {});
  const std::vector<Artefact> mixed{{"weak", scratch / "weak"}, {"strong", scratch / "other"}};
  expect_part(refusal<ValueError>([&] { ran(deferring(options), scratch / "mixed", mixed); }),
              "to be trained on the same data");
}

TEST(DeferralArm, RefusesWhatItCannotStartFrom) {
  const auto iris = arm(training("weak", kIris));
  auto number = kIris;
  number["response"] = "petal_width", number["classes"] = false;
  auto table = training("numbers", number);
  table["task"] = {{"part", "regression"}};
  const auto numbers = arm(table);
  const auto alone = arm(deferring({{"trials", 3}})), with_expert = arm(deferring({{"expert", "strong"}}));
  alone->validate({iris.get()});
  expect_part(refusal<ValueError>([&] { alone->validate({}); }), "expected the classifier in \"from\"");
  expect_part(refusal<ValueError>([&] { alone->validate({numbers.get()}); }),
              "expected trainings of classes");
  expect_part(refusal<ValueError>([&] { with_expert->validate({iris.get()}); }), "and then its expert");
  expect_part(refusal<ValueError>([] { arm(deferring({{"bound", 2}})); }), "bound");
  expect_part(refusal<ValueError>([] { arm(deferring({{"scores", "margin"}})); }), "did you mean \"score\"?");
}

}  // namespace gw::test::deferral_arm_cases
