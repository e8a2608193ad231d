// Arms that start from other arms: order, resuming, failures; and what their catalogue promises.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "gatewright/base/error.h"
#include "gatewright/base/file.h"
#include "gatewright/train/checkpoint.h"
#include "gatewright/train/trainer.h"
#include "tests/runs/checked.h"
#include "tests/support/refusal.h"

using namespace gw;
using namespace gw::test;

namespace gw::test::arms_cases {

namespace fs = std::filesystem;

// In the order of names "b_second" would run before "c_first".
constexpr const char* kBody = R"(
title = "arms from arms"
[defaults]
data = { part = "synthetic", classes = 3, height = 8, width = 8, train = 60, test = 24 }
network = { backbone = "small_cnn", backbone_options = { width = 4 } }
objective = { part = "natural" }
schedule = { lr = 0.05 }
epochs = 1
batch = 16
task = { part = "image_classification", validation_steps = 1 }
[sizes.tiny]
seeds = [0, 1]
[arms.c_first]
[arms.b_second]
from = "c_first"
[arms.a_third]
from = "b_second"
[arms.d_alone]
)";

std::vector<std::string> order_of(const CheckOutcome& outcome) {
  std::vector<std::string> order;
  for (const auto& result : outcome.results) order.push_back(result.arm + std::to_string(result.seed));
  return order;
}

SafetensorsFile checkpoint(const Scratch& scratch, const std::string& run, const char* file) {
  return load_checkpoint(scratch / ("out/" + run + "/" + file));
}

TEST(ArmGraph, RunsSourcesFirstSeedBySeed) {
  const Scratch scratch;
  const auto outcome = check_in(scratch, kBody);
  EXPECT_TRUE(outcome.failed.empty());
  EXPECT_EQ(order_of(outcome), (std::vector<std::string>{"c_first0", "b_second0", "a_third0", "d_alone0",
                                                         "c_first1", "b_second1", "a_third1", "d_alone1"}));
}

TEST(ArmGraph, AnArmStartsAtTheBestWeightsOfItsSourceAndSeed) {
  const Scratch scratch;
  // Without a step's effect the weights at the end are those at the start.
  const std::string still = std::string(kBody) + "[arms.b_second.config]\nschedule = { lr = 0.0 }\n";
  check_in(scratch, still, {"b_second"});
  for (const char* seed : {"0", "1"}) {
    const auto source = checkpoint(scratch, std::string("c_first-seed") + seed, kBestCheckpoint);
    const auto copy = checkpoint(scratch, std::string("b_second-seed") + seed, kBestCheckpoint);
    size_t compared = 0;
    for (const auto& [name, tensor] : source.tensors) {
      if (name.rfind("model/", 0) != 0 || name.find("running") != std::string::npos ||
          name.find("batches") != std::string::npos)
        continue;  // batch statistics move with every batch, whatever the rate
      EXPECT_TRUE(tensor.equal(copy.tensors.at(name))) << name;
      ++compared;
    }
    EXPECT_GT(compared, 4u);
    const auto start =
        read_json(scratch / (std::string("out/b_second-seed") + seed + "/recipe.json")).at("start");
    EXPECT_EQ(start.at("crc32c"), source.metadata.at("crc32c"));
  }
}

TEST(ArmGraph, OnlySomeArmsBringTheirSources) {
  const Scratch scratch;
  EXPECT_EQ(order_of(check_in(scratch, kBody, {"b_second"})),
            (std::vector<std::string>{"c_first0", "b_second0", "c_first1", "b_second1"}));
}

TEST(ArmGraph, AFinishedArmIsNotRunAgainAndAMissingOneGivesTheSameBits) {
  const Scratch scratch;
  const auto first = check_in(scratch, kBody);
  const auto bytes = read_file(scratch / "out/a_third-seed0/best.safetensors");
  auto altered = read_json(scratch / "out/c_first-seed0/metrics.json");
  altered["metrics"]["clean_accuracy"] = 7.0;  // were it run again, this would be gone
  write_file(scratch / "out/c_first-seed0/metrics.json", altered.dump());
  fs::remove_all(scratch / "out/a_third-seed0");
  fs::remove(scratch / "out/b_second-seed0/metrics.json");  // measured again from its checkpoint
  const auto again = check_in(scratch, kBody);
  EXPECT_EQ(again.results[0].metrics.at("clean_accuracy"), 7.0);
  EXPECT_EQ(again.results[1].metrics, first.results[1].metrics);
  EXPECT_EQ(again.results[2].metrics, first.results[2].metrics);
  EXPECT_EQ(read_file(scratch / "out/a_third-seed0/best.safetensors"), bytes);
}

// Options of the task once stood beside it, in recipe.json and in what a finished run was compared by.
TEST(ArmGraph, ACheckOfAnEarlierVersionIsStillFinishedAndItsRunsGoOn) {
  const Scratch scratch;
  const auto text = std::string(kBody) + "[arms.d_alone.config]\ntask = { epsilon = 0.2 }\n";
  const auto first = check_in(scratch, text, {"d_alone"});
  const auto earlier = [](Json config) {
    for (const char* option : {"epsilon", "validation_steps"}) config[option] = config["task"][option];
    config["task"] = {{"part", "image_classification"}};
    return config;
  };
  const auto run = scratch / "out/d_alone-seed";
  for (const char* seed : {"0", "1"}) {
    write_file(run + seed + "/recipe.json", earlier(read_json(run + seed + "/recipe.json")).dump());
    auto summary = read_json(run + seed + "/metrics.json");
    summary["config"] = earlier(summary["config"]), summary["metrics"]["clean_accuracy"] = 7.0;
    write_file(run + seed + "/metrics.json", summary.dump());
  }
  fs::remove(run + "1/metrics.json");  // measured again
  const auto again = check_in(scratch, text, {"d_alone"});
  EXPECT_TRUE(again.failed.empty());
  EXPECT_EQ(again.results.at(0).metrics.at("clean_accuracy"), 7.0);
  EXPECT_EQ(again.results.at(1).metrics, first.results.at(1).metrics);
  // Another radius is another run.
  expect_part(refusal([&] { check_in(scratch, text, {"d_alone"}, {"task.epsilon=0.1"}); }),
              "at /task/epsilon: 0.2, got 0.1");
}

TEST(ArmGraph, AMovedCheckIsStillFinishedAndAnotherSourceIsNoticed) {
  const Scratch scratch;
  check_in(scratch, kBody, {"a_third"});
  fs::rename(scratch / "out", scratch / "moved");
  const auto time = fs::last_write_time(scratch / "moved/a_third-seed1/metrics.json");
  const auto moved = check_in(scratch, kBody, {"a_third"}, {}, "moved");
  EXPECT_TRUE(moved.failed.empty());
  EXPECT_EQ(fs::last_write_time(scratch / "moved/a_third-seed1/metrics.json"), time);
  fs::copy_file(scratch / "moved/c_first-seed1/best.safetensors",
                scratch / "moved/c_first-seed0/best.safetensors", fs::copy_options::overwrite_existing);
  const auto outcome = check_in(scratch, kBody, {"a_third"}, {}, "moved");
  ASSERT_FALSE(outcome.failed.empty());
  EXPECT_EQ(outcome.failed[0].arm, "b_second");
  expect_part(outcome.failed[0].why, "at /start/crc32c");
}

TEST(ArmGraph, AFailureStopsWhatStartsFromItAndNothingElse) {
  const Scratch scratch;
  const auto outcome = check_in(
      scratch, std::string(kBody) +
                   "[arms.c_first.config]\nschedule = { lr = 1e3, shape = \"constant\" }\n"
                   "optimizer = { part = \"sgd\", momentum = 0.0, weight_decay = 1e3 }\nepochs = 3\n");
  EXPECT_EQ(order_of(outcome), (std::vector<std::string>{"d_alone0", "d_alone1"}));
  ASSERT_EQ(outcome.failed.size(), 6u);
  EXPECT_EQ(outcome.failed[0].what, "diverged");
  EXPECT_EQ(outcome.failed[1].arm, "b_second");
  EXPECT_EQ(outcome.failed[1].what, "not run: its source c_first failed");
  EXPECT_EQ(outcome.failed[2].arm, "a_third");
  EXPECT_EQ(outcome.failed[2].what, "not run: its source b_second was not run");
  EXPECT_FALSE(outcome.holds());
  const auto rows = read_json(scratch / "out/check.json").at("rows");
  EXPECT_EQ(rows[1].at("measured"), "not run: its source c_first failed");
  EXPECT_EQ(rows[1].at("verdict"), "fail");
}

TEST(ArmGraph, OtherErrorsFailTheArmToo) {
  const Scratch scratch;
  // The data have other classes, which only their loading shows.
  const auto outcome =
      check_in(scratch, std::string(kBody) + "[arms.b_second.config]\ndata = { classes = 4 }\n");
  ASSERT_EQ(outcome.failed.size(), 4u);
  EXPECT_EQ(outcome.failed[0].what, "failed");
  expect_part(outcome.failed[0].why, "of another shape or type: model/");
  expect_part(outcome.failed[0].why, "expected [4");
  expect_part(outcome.failed[0].why, "got [3");
  EXPECT_EQ(order_of(outcome).size(), 4u);
  EXPECT_FALSE(outcome.holds());
  // Where nothing can be measured at all, the reason is the answer.
  const Scratch other;
  expect_part(refusal([&] {
                check_in(other, kBody, {}, {"data.train=3", "train_per_class=70"});
              }),
              "expected");
}

TEST(ArmGraph, WeightsThatCannotFitAreRefusedBeforeAnythingRuns) {
  const Scratch scratch;
  const auto text = refusal([&] {
    check_in(scratch,
             std::string(kBody) + "[arms.a_third.config.network]\nbackbone_options = { width = 6 }\n");
  });
  expect_part(text, "of arm \"b_second\"");
  expect_part(text, "of another shape or type: model/");
  expect_part(text, "expected [12, 6, 3, 3]");
  expect_part(text, "got [8, 4, 3, 3]");
  EXPECT_FALSE(fs::exists(scratch / "out"));
}

TEST(ArmGraph, WhatNoArmCanStartFromIsRefused) {
  const Scratch scratch;
  const std::string two = "[arms.e]\nfrom = [\"d_alone\", \"c_first\"]\n";
  expect_part(refusal([&] { check_in(scratch, kBody + two); }),
              "expected one arm for arm \"e\" to start from, got 2");
  const std::string both = "[arms.e]\nfrom = \"d_alone\"\n[arms.e.config]\nstart = { checkpoint = \"x\" }\n";
  expect_part(refusal([&] { check_in(scratch, kBody + both); }), "got both");
  const std::string kind = "[arms.e]\nkind = \"trian\"\n";
  expect_part(refusal([&] { check_in(scratch, kBody + kind); }), "did you mean \"train\"?");
  EXPECT_FALSE(fs::exists(scratch / "out"));
  const std::string statistics = R"(
[sizes.tiny]
[arms.first.config.experiment]
part = "near_truth"
[arms.second]
from = "first"
[arms.second.config]
objective = "natural"
[arms.third]
kind = "experiment"
from = "first"
[arms.third.config.experiment]
part = "near_truth"
)";
  expect_part(refusal([&] { check_in(scratch, statistics, {"second"}); }), "got another kind of arm");
  expect_part(refusal([&] { check_in(scratch, statistics, {"third"}); }),
              "an experiment starts from nothing");
}

TEST(Arms, TheTableNamesTheKindWhereTheRecipeDoesNot) {
  EXPECT_EQ(arm_kind({{"experiment", {{"part", "near_truth"}}}}), "experiment");
  EXPECT_EQ(arm_kind({{"epochs", 3}}), "train");
}

/// Every name that a run of the recipe leaves is among those that its arm declares: a mark could not name it
/// otherwise.
void expect_declared(const std::string& text, const std::vector<std::string>& arms) {
  const Scratch scratch;
  const auto outcome = check_in(scratch, text, arms);
  const auto recipe = recipe_of(scratch, text);
  ASSERT_EQ(outcome.results.size(), arms.size() * recipe.seeds("tiny").size());
  const auto known = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (const auto& result : outcome.results) {
    const auto names = make_arm(recipe, result.arm, "tiny", 0)->leaves();
    EXPECT_FALSE(result.curves.empty());
    for (const auto& item : result.metrics) EXPECT_TRUE(known(names.metrics, item.first)) << item.first;
    for (const auto& item : result.curves) EXPECT_TRUE(known(names.curves, item.first)) << item.first;
    for (const auto& item : result.tables) EXPECT_TRUE(known(names.tables, item.first)) << item.first;
  }
}

TEST(Arms, WhatARunLeavesWasDeclared) {
  expect_declared(std::string(kBody) + R"(
[arms.e_routed.config]
network = { experts = 2, gate = { part = "cnn", width = 2 } }
objective = { part = "adv_moe", steps = 1 }
[arms.f_trades.config]
network = { experts = 2, gate = { part = "cnn", width = 2 } }
objective = { part = "trades", steps = 1 }
[arms.g_thor.config]
network = { experts = 2, gate = { part = "cnn", width = 2 } }
objective = { part = "thor" }
)",
                  {"d_alone", "e_routed", "f_trades", "g_thor"});
}

TEST(Arms, WhatTablesAndExperimentsLeaveWasDeclared) {
  expect_declared(R"(
[defaults]
data = { part = "table", path = "iris.csv", response = "species" }
network = { part = "tabular", width = 8, mixture = { experts = 2, policy = { part = "softmax_top_k", k = 1 }, bank = { part = "mlp", hidden = 8 }, balancers = ["switch_loss"] } }
objective = "natural"
epochs = 1
[sizes.tiny]
[arms.classes.config]
task = "classification"
[arms.numbers.config]
task = "regression"
data = { response = "sepal_length", classes = false }
)",
                  {"classes", "numbers"});
  expect_declared("[sizes.tiny]\n[arms.a.config.experiment]\npart = \"near_truth\"\nreplications = 2\n",
                  {"a"});
}

/// At every size, not only at the one that somebody happens to run.
TEST(Arms, MarksOfTheRecipesNameWhatTheirArmsLeave) {
  size_t marks = 0;
  for (const auto& file : fs::directory_iterator("recipes")) {
    const auto recipe = load_recipe(file.path().string(), {});
    for (const auto& size : recipe.sizes) {
      std::map<std::string, LeftNames> names;
      for (const auto& arm : recipe.arms) names[arm] = make_arm(recipe, arm, size, 0)->leaves();
      for (const auto& mark : recipe.marks) {
        if (!mark.applies(size)) continue;
        EXPECT_NO_THROW(check_names(recipe.name, mark, names))
            << recipe.name << " " << size << " " << mark.name;
        ++marks;
      }
    }
  }
  EXPECT_GT(marks, 50u);
}

TEST(Arms, ExpertsHaveATableOfTheirOwn) {
  const Scratch scratch;
  const std::string text = std::string(kBody) +
                           "[arms.e_routed.config.network]\nexperts = 2\n"
                           "gate = { part = \"cnn\", width = 2 }\n";
  const auto first = check_in(scratch, text, {"e_routed"}), again = check_in(scratch, text, {"e_routed"});
  for (const auto& outcome : {first, again}) {
    const auto& table = outcome.results.at(0).tables.at("experts");
    EXPECT_EQ(table.names, (std::vector<std::string>{"E0", "E1"}));
    EXPECT_EQ(table.columns, (std::vector<std::string>{"accuracy, alone"}));
    EXPECT_EQ(table.values, first.results.at(0).tables.at("experts").values);
  }
  EXPECT_TRUE(check_in(scratch, text, {"d_alone"}).results.at(0).tables.empty()) << "one expert";
}

}  // namespace gw::test::arms_cases
