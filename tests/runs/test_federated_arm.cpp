// The arm that trains over clients: rounds, bytes, clients that misbehave, what it refuses.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "gatewright/runs/federate.h"
#include "tests/runs/scratch.h"
#include "tests/support/refusal.h"

namespace gw::test::federated_arm_cases {

Json common() {
  return {
      {"name", "small"},
      {"arm", "common"},
      {"seed", 1},
      {"data",
       {{"part", "synthetic"}, {"classes", 4}, {"height", 8}, {"width", 8}, {"train", 600}, {"test", 300}}},
      {"task", "classification"},
      {"network", {{"part", "gated_mlp"}, {"width", 8}, {"layers", 1}, {"gates", false}}},
      {"objective", "natural"},
      {"optimizer", "adam"},
      {"schedule", {{"lr", 0.01}}},
      {"validation", 0.1},
      {"epochs", 2},
      {"batch", 16}};
}

Json federated(Json more = Json::object()) {
  Json how{{"experts", 4},
           {"k", 2},
           {"rounds", 3},
           {"per_round", 6},
           {"epochs", 1},
           {"gate_hidden", 8},
           {"unseen", 3},
           {"unseen_images", 40},
           {"measure_every", 1},
           {"run_as", "threads"},
           {"clients", {{"users", 10}, {"train", 30}, {"test", 10}, {"favourites", 2}, {"skew", 1.0}}}};
  how.update(more);
  auto table = common();
  table["arm"] = "fedjets", table["federated"] = how;
  return table;
}

std::shared_ptr<Arm> arm(const Json& table) { return make_arm(table, "the test"); }

ArmResult ran(const Json& table, const std::string& directory, const std::vector<Artefact>& from) {
  ArmRun run;
  run.directory = directory, run.timing_rounds = 0;
  run.now_s = run.wall_time_s = [] { return 1.0; };
  return arm(table)->run(run, from);
}

TEST(FederatedArm, CountsBytesAndLeavesWhatItSays) {
  const Scratch scratch;
  ran(common(), scratch / "common", {});
  const std::vector<Artefact> from{{"common", scratch / "common"}};
  const auto result = ran(federated(), scratch / "run", from);
  const auto left = arm(federated())->leaves();
  for (const auto& item : result.metrics)
    EXPECT_NE(std::find(left.metrics.begin(), left.metrics.end(), item.first), left.metrics.end())
        << item.first;
  const auto& m = result.metrics;
  constexpr double kExpert = 4 * (64 * 8 + 8 + 8 * 4 + 4), kGate = 4 * (8 * 8 + 8 + 4 * 8 + 4);
  EXPECT_EQ(m.at("bytes_share"), 0.5) << "k / M, exactly";
  EXPECT_EQ(m.at("bytes_beyond"), 0) << "and the gate, no byte more";
  EXPECT_EQ(m.at("bytes_down"), 6 * (2 * kExpert + kGate));
  EXPECT_EQ(m.at("bytes_up"), 6 * (2 * kExpert + kGate));
  EXPECT_EQ(m.at("refused"), 0);
  EXPECT_EQ(m.at("lost"), 0);
  EXPECT_GE(m.at("unseen.perfect") + 1e-9, m.at("unseen.best") - 1);
  EXPECT_EQ(result.curves.at("accuracy").x, (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(result.curves.at("accuracy").y.back(), m.at("unseen.accuracy"));
  EXPECT_EQ(result.tables.at("experts").names.size(), 4u);
  EXPECT_TRUE(result.tables.at("left_out").names.empty());
  EXPECT_FALSE(std::filesystem::exists(scratch / "run/rounds")) << "what clients sent stays behind";
  EXPECT_EQ(ran(federated({{"hosts", 1}}), scratch / "one", from).metrics, m) << "hosts change no bit";
  const auto all = ran(federated({{"k", 4}}), scratch / "all", from).metrics;
  EXPECT_EQ(all.at("bytes_share"), 1);
  const auto one = ran(federated({{"method", "fedavg"}}), scratch / "fedavg", from).metrics;
  EXPECT_EQ(one.at("bytes_down"), 6 * kExpert);
  EXPECT_EQ(one.at("bytes_share"), 1);
  EXPECT_EQ(one.at("common.accuracy"), m.at("common.accuracy")) << "the same unseen clients";
}

TEST(FederatedArm, WhoLiesOrDiesIsLeftOutAndNamed) {
  const Scratch scratch;
  ran(common(), scratch / "common", {});
  const std::vector<Artefact> from{{"common", scratch / "common"}};
  const Json spoils{{"spoiled", {"nan", "shape", "absurd", "die", "nonsense"}},
                    {"spoils", {{4}, {5}, {6}, {7}, {8}}},
                    {"per_round", 10},
                    {"rounds", 2}};
  const auto result = ran(federated(spoils), scratch / "run", from);
  EXPECT_EQ(result.metrics.at("refused"), 6);
  EXPECT_EQ(result.metrics.at("lost"), 4);
  EXPECT_GT(result.metrics.at("unseen.accuracy"), 0.2);
  const auto& names = result.tables.at("left_out").names;
  const auto told = [&](const std::string& text) {
    return std::count_if(names.begin(), names.end(),
                         [&](const std::string& name) { return name.find(text) != std::string::npos; });
  };
  EXPECT_EQ(told("client 4: weights of an expert are not finite"), 2);
  EXPECT_EQ(told("client 5: expected 556 weights of an expert, got 555"), 2);
  EXPECT_EQ(told("client 6: weights went absurdly far"), 2);
  EXPECT_EQ(told("client 7: does \"die\""), 2);
}

// Within what is refused: steps turned round and five times as long. One of four that train an expert turns
// the mean of all; of clipped steps it is one of four.
TEST(FederatedArm, OneLiarOfARoundMovesAMeanAndHardlyWhatIsClipped) {
  const Scratch scratch;
  ran(common(), scratch / "common", {});
  const std::vector<Artefact> from{{"common", scratch / "common"}};
  const Json how{{"method", "fedavg"}, {"rounds", 6}, {"per_round", 4}, {"epochs", 2}};
  const auto with = [&](const std::string& name, const Json& more) {
    auto options = how;
    options.update(more);
    return ran(federated(options), scratch / name, from).metrics;
  };
  const auto honest = with("honest", Json::object()), mean = with("mean", {{"liars", 1}}),
             clipped = with("clipped", {{"liars", 1}, {"rule", "clipped"}}),
             median = with("median", {{"liars", 1}, {"rule", "median"}});
  for (const auto* m : {&mean, &clipped, &median}) {
    EXPECT_EQ(m->at("refused"), 0) << "the lie was not one within bounds";
    EXPECT_EQ(m->at("bytes_beyond"), 0);
  }
  EXPECT_NE(mean.at("everybody.accuracy"), honest.at("everybody.accuracy")) << "nobody lied";
  EXPECT_GE(clipped.at("everybody.accuracy") + 0.02, mean.at("everybody.accuracy"));
}

TEST(FederatedArm, EverybodyLostChangesNothing) {
  const Scratch scratch;
  ran(common(), scratch / "common", {});
  const Json spoils{{"spoiled", {"die"}}, {"spoils", {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}}}, {"rounds", 1}};
  const auto m = ran(federated(spoils), scratch / "run", {{"common", scratch / "common"}}).metrics;
  EXPECT_EQ(m.at("lost"), 6);
  EXPECT_EQ(m.at("idle_experts"), 4);
  EXPECT_NEAR(m.at("unseen.accuracy"), m.at("common.accuracy"), 1e-9) << "experts are still the common one";
}

TEST(FederatedArm, RefusesWhatCannotBe) {
  const Scratch scratch;
  const auto good = arm(federated()), training = arm(common());
  good->validate({training.get()});
  expect_part(refusal<ValueError>([&] { good->validate({}); }), "got 0 arms");
  expect_part(refusal<ValueError>([&] { good->validate({good.get()}); }), "got another arm");
  expect_part(refusal<ValueError>([&] {
                arm(federated({{"k", 5}}))->validate({training.get()});
              }),
              "k of at most 4 experts, got 5");
  ran(common(), scratch / "common", {});
  int number = 0;
  const auto refused = [&](const Json& more) {
    return refusal<ValueError>([&] {
      ran(federated(more), scratch / std::to_string(++number), {{"common", scratch / "common"}});
    });
  };
  expect_part(refused({{"experts", 5}}), "at most 4 experts, as there are classes");
  expect_part(refused({{"per_round", 11}}), "11 at least for a round, got 10");
  expect_part(refused({{"spoiled", {"nam"}}, {"spoils", {{1}}}}), "did you mean \"nan\"?");
  expect_part(refused({{"liars", 7}}), "liars among the 6 clients of a round, got 7");
  expect_part(refused({{"lie", "revresed"}, {"liars", 1}}), "did you mean \"reversed\"?");
  expect_part(refused({{"rule", "mediam"}}), "did you mean \"median\"?");
  expect_part(refused({{"spoiled", {"nan"}}}), "a list of clients in spoils for each word");
  expect_part(refused({{"run_as", "processes"}}), "set GATEWRIGHT_PROGRAM");
  auto wider = federated();
  wider["network"]["width"] = 9;
  expect_part(refusal<ValueError>([&] {
                ran(wider, scratch / "wider", {{"common", scratch / "common"}});
              }),
              "expected experts of 556 weights");
}

}  // namespace gw::test::federated_arm_cases
