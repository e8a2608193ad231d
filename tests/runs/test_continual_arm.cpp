// The arm that runs a trained network step by step: what it leaves, what it refuses.
#include <gtest/gtest.h>

#include <algorithm>

#include "gatewright/runs/arm.h"
#include "tests/runs/scratch.h"
#include "tests/support/refusal.h"

namespace gw::test::continual_arm_cases {

Json training(const Json& network) {
  return {{"name", "small"},
          {"arm", "whole"},
          {"seed", 1},
          {"data", {{"part", "bytes"}, {"files", Json::array({"declaration.txt"})}, {"context", 32}}},
          {"task", "next_token"},
          {"network", network},
          {"objective", "natural"},
          {"optimizer", "adam"},
          {"schedule", {{"lr", 0.003}}},
          {"epochs", 1},
          {"batch", 16}};
}

const Json kContinual{{"part", "continual"},   {"width", 8},  {"depth", 2},
                      {"attention", "newest"}, {"window", 8}, {"heads", 2}};

Json steps(Json more = Json::object()) {
  Json how{{"steps", 40}};
  how.update(more);
  return {{"name", "small"}, {"arm", "steps"}, {"seed", 1}, {"continual", how}};
}

std::shared_ptr<Arm> arm(const Json& table) { return make_arm(table, "the test"); }

ArmResult ran(const Json& table, const std::string& directory, const std::vector<Artefact>& from,
              int64_t rounds = 0) {
  ArmRun run;
  run.directory = directory, run.timing_rounds = rounds;
  double now = 0;
  run.now_s = [now]() mutable { return now += 1; };
  run.wall_time_s = [] { return 1.0; };
  return arm(table)->run(run, from);
}

TEST(ContinualArm, LeavesWhatItSaysAndNothingElse) {
  const Scratch scratch;
  ran(training(kContinual), scratch / "whole", {});
  const std::vector<Artefact> from{{"whole", scratch / "whole"}};
  const auto result = ran(steps(), scratch / "steps", from, 2);
  const auto left = arm(steps())->leaves();
  EXPECT_EQ(result.metrics.size(), left.metrics.size());
  for (const auto& item : result.metrics)
    EXPECT_NE(std::find(left.metrics.begin(), left.metrics.end(), item.first), left.metrics.end())
        << item.first;
  EXPECT_LT(result.metrics.at("difference"), 1e-5);
  EXPECT_EQ(result.metrics.at("receptive_field"), 14);
  EXPECT_EQ(result.metrics.at("speedup"), 1) << "the clock of the test moves by one second at each look";
  EXPECT_LT(result.metrics.at("macs_ratio"), 0.2);
  EXPECT_EQ(ran(steps(), scratch / "steps", from).metrics, result.metrics) << "a finished run is read";
  EXPECT_EQ(ran(steps(), scratch / "untimed", from).metrics.count("speedup"), 0u)
      << "without rounds no times";
}

TEST(ContinualArm, RefusesWhatHasNoSteps) {
  const Scratch scratch;
  const auto trained = arm(training(kContinual)), mine = arm(steps());
  mine->validate({trained.get()});
  expect_part(refusal<ValueError>([&] { mine->validate({}); }), "expected one training");
  expect_part(refusal<ValueError>([&] { mine->validate({mine.get()}); }), "got another arm");
  ran(training({{"part", "token_mixer"}, {"width", 8}}), scratch / "other", {});
  expect_part(refusal<ValueError>([&] {
                ran(steps(), scratch / "a", {{"other", scratch / "other"}});
              }),
              "expected a network that answers step by step");
  ran(training(kContinual), scratch / "whole", {});
  const std::vector<Artefact> from{{"whole", scratch / "whole"}};
  expect_part(refusal<ValueError>([&] {
                ran(steps({{"steps", 5000}}), scratch / "b", from);
              }),
              "expected a stream of at least 5013 tokens");
  expect_part(refusal<ValueError>([&] {
                ran(steps({{"domain", 3}}), scratch / "c", from);
              }),
              "test sequences of domain 3, got none");
}

}  // namespace gw::test::continual_arm_cases
