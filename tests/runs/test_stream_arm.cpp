// The arm that walks a stream: what it leaves, what it starts from, what it refuses.
#include <gtest/gtest.h>

#include <algorithm>

#include "gatewright/runs/arm.h"
#include "tests/runs/scratch.h"
#include "tests/support/refusal.h"

namespace gw::test::stream_arm_cases {

Json table(const Json& more = Json::object()) {
  Json out{{"name", "small"},
           {"arm", "walks"},
           {"seed", 1},
           {"data", {{"part", "drift_stream"}, {"rows", 2000}, {"test", 50}, {"drifts", {1000}}}},
           {"task", {{"part", "fair_classification"}}},
           {"network", {{"part", "linear_experts"}}},
           {"objective", {{"part", "natural"}}},
           {"optimizer", {{"part", "adam"}}},
           {"schedule", {{"shape", "constant"}, {"lr", 0.02}}},
           {"stream", {{"window", 100}, {"parts", {{"end", {15, 20}}}}}},
           {"learner", {{"part", "growing"}}}};
  for (const auto& [key, value] : more.items()) out[key] = value;
  return out;
}

std::shared_ptr<Arm> arm(const Json& t) { return make_arm(t, "the test"); }

ArmResult ran(const Json& t, const std::string& directory, const std::vector<Artefact>& from = {}) {
  ArmRun run;
  run.directory = directory, run.timing_rounds = 0;
  run.now_s = run.wall_time_s = [] { return 1.0; };
  return arm(t)->run(run, from);
}

TEST(StreamArm, LeavesWhatItSaysAndIsReadAgain) {
  const Scratch scratch;
  arm(table())->validate({});
  const auto result = ran(table(), scratch / "a");
  const auto left = arm(table())->leaves();
  const auto among = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (const auto& item : result.metrics) EXPECT_TRUE(among(left.metrics, item.first)) << item.first;
  for (const auto& item : result.curves) EXPECT_TRUE(among(left.curves, item.first)) << item.first;
  for (const auto& item : result.tables) EXPECT_TRUE(among(left.tables, item.first)) << item.first;
  EXPECT_GT(result.metrics.at("accuracy.end"), 0.6);
  const auto again = ran(table(), scratch / "a");
  EXPECT_EQ(again.metrics, result.metrics) << "read, not run again";
  EXPECT_EQ(again.curves.at("accuracy").y, result.curves.at("accuracy").y);
  auto other = table();
  other["seed"] = 2;
  EXPECT_NE(ran(other, scratch / "b").metrics.at("accuracy"), result.metrics.at("accuracy"))
      << "another seed of the arm is another stream";
}

TEST(StreamArm, TrialsAreMeans) {
  const Scratch scratch;
  const auto trials = [](int64_t count, int64_t seed) {
    auto t = table({{"stream", {{"window", 100}, {"trials", count}}}, {"seed", seed}});
    t["data"]["drifts"] = Json::array();
    return t;
  };
  const auto both = ran(trials(2, 0), scratch / "both");
  auto second = trials(1, 0);
  const auto one = ran(second, scratch / "one");
  second["data"]["seed"] = 1;
  const auto two = ran(second, scratch / "two");
  // The weights' draws differ by trial, the data are those of seeds 0 and 1.
  EXPECT_NEAR(both.metrics.at("accuracy"), (one.metrics.at("accuracy") + two.metrics.at("accuracy")) / 2,
              0.01);
  EXPECT_GE(both.metrics.at("false_alarm_trials"), 0.0);
  EXPECT_EQ(both.metrics.at("drifts"), 0.0);
}

TEST(StreamArm, TrainedNetworksComeFromOtherArms) {
  const Scratch scratch;
  const auto training = [](const std::string& name, double angle) {
    Json t{{"name", "small"},
           {"arm", name},
           {"seed", 1},
           {"data", {{"part", "drift_stream"}, {"rows", 1000}, {"test", 50}, {"angle", angle}}},
           {"task", {{"part", "classification"}}},
           {"network", {{"part", "linear_experts"}}},
           {"objective", {{"part", "natural"}}},
           {"optimizer", {{"part", "adam"}}},
           {"schedule", {{"lr", 0.05}}},
           {"epochs", 4},
           {"batch", 50}};
    return t;
  };
  std::vector<Artefact> from;
  std::vector<std::shared_ptr<Arm>> arms;
  std::vector<const Arm*> all;
  for (const auto& [name, angle] : std::vector<std::pair<std::string, double>>{{"a", 0.0}, {"b", 60.0}}) {
    ran(training(name, angle), scratch / name);
    from.push_back({name, scratch / name});
    arms.push_back(arm(training(name, angle))), all.push_back(arms.back().get());
  }
  auto t = table({{"learner", {{"part", "free_agents"}, {"slots", 1}, {"drift", {{"reference", 5}}}}},
                  {"task", {{"part", "classification"}}}});
  arm(t)->validate(all);
  const auto result = ran(t, scratch / "team", from);
  EXPECT_EQ(result.metrics.at("promotions"), 1.0);
  EXPECT_EQ(result.tables.at("team").values[1][0], 1.0) << "the one that knows the second concept";
  expect_part(refusal<ValueError>([&] { arm(t)->validate({}); }), "expected 1 to 1024 trainings");
  expect_part(refusal<ValueError>([&] { arm(table())->validate(all); }), "expected 0 to 0 trainings");
}

TEST(StreamArm, RefusesWhatCannotRun) {
  expect_part(refusal<ValueError>([] {
                arm(table({{"stream", {{"windows", 5}}}}));
              }),
              "did you mean \"window\"?");
  expect_part(refusal<ValueError>([] {
                arm(table({{"learner", {{"part", "groving"}}}}))->validate({});
              }),
              "did you mean \"growing\"?");
  expect_part(refusal<ValueError>([] {
                auto t = table({{"stream", {{"trials", 3}}}});
                t["data"] = {{"part", "table_stream"}, {"time", "year"}};
                arm(t)->validate({});
              }),
              "expected data that are drawn for 3 trials");
  const Scratch scratch;
  auto t = table();
  t["data"] = {{"part", "table_stream"},
               {"path", scratch / "s.csv"},
               {"response", "y"},
               {"time", "t"},
               {"group", "g"}};
  write_file(scratch / "s.csv", "t,x,g,y\n1,1,a,0\n3,2,b,1\n2,3,a,1\n4,4,b,0\n");
  expect_part(refusal<ValueError>([&] { ran(t, scratch / "run"); }), "time order broken in a stream");
}

}  // namespace gw::test::stream_arm_cases
