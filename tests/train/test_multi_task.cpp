// Several answers of a row: losses by hand, missing values, what is reported of the experts.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/train/area_under_curve.h"
#include "gatewright/train/expert_report.h"
#include "gatewright/train/task.h"
#include "gatewright/train/trainer.h"
#include "tests/runs/scratch.h"
#include "tests/support/refusal.h"
#include "tests/train/small_run.h"

namespace gw::test::multi_task_cases {

TrainConfig config(const Json& task = {{"part", "multi_task"}}) {
  TrainConfig config;
  config.data = Json{{"part", "table"}, {"targets", {"two", "number", "three"}}};
  config.task = task;
  return config;
}

Batch batch(const at::Tensor& targets) {
  Batch out;
  out.fields["targets"] = targets;
  out.common["target_classes"] = at::tensor({2, 0, 3}, at::kLong);
  return out;
}

const double kNan = std::nan("");

TEST(MultiTask, TheLossIsTheWeightedSumOverWhatIsThere) {
  const auto answer =
      at::tensor({0.5, 1.0, 0.1, 0.2, 0.3, -1.0, 2.0, 1.0, 0.0, -1.0}, at::kDouble).view({2, 5});
  const auto targets = at::tensor({1.0, kNan, 2.0, 0.0, 1.5, kNan}, at::kDouble).view({2, 3});
  const double binary = (std::log1p(std::exp(-0.5)) + std::log1p(std::exp(-1.0))) / 2;
  const double number = (2.0 - 1.5) * (2.0 - 1.5);
  const double three = -0.3 + std::log(std::exp(0.1) + std::exp(0.2) + std::exp(0.3));
  const auto task = make_task(config());
  EXPECT_NEAR(task->loss({answer, {}}, batch(targets)).item<double>(), binary + number + three, 1e-12);
  const auto weighed =
      make_task(config({{"part", "multi_task"}, {"weights", {{"number", 0.25}, {"three", 0}}}}));
  EXPECT_NEAR(weighed->loss({answer, {}}, batch(targets)).item<double>(), binary + number / 4, 1e-12);
  const auto none = at::full({2, 3}, kNan, at::kDouble);
  EXPECT_EQ(task->loss({answer, {}}, batch(none)).item<double>(), 0.0) << "no row has a target";
}

TEST(MultiTask, MeasuresLeaveOutWhatIsMissing) {
  const auto answer =
      at::tensor({0.5, 1.0, 0.1, 0.2, 0.3, -1.0, 2.0, 1.0, 0.0, -1.0}, at::kDouble).view({2, 5});
  const auto targets = at::tensor({1.0, kNan, 2.0, 0.0, kNan, kNan}, at::kDouble).view({2, 3});
  const auto told = make_task(config())->measure({answer, {}}, batch(targets), 7);
  EXPECT_EQ(told.at("accuracy.two"), 1.0);
  EXPECT_EQ(told.at("auc.two"), 1.0);
  EXPECT_EQ(told.at("auc"), 1.0);
  EXPECT_EQ(told.at("accuracy.three"), 1.0) << "of the one row that has it";
  EXPECT_EQ(told.count("rmse.number"), 0u);
  EXPECT_EQ(told.at("task_loss"), 7.0);
}

TEST(MultiTask, BadWeightsAndDataAreNamed) {
  const auto told = [](const Json& weights) {
    return refusal<ValueError>([&] { make_task(config({{"part", "multi_task"}, {"weights", weights}})); });
  };
  expect_part(told({{"nubmer", 1}}), "unknown target \"nubmer\" in \"weights\"; did you mean \"number\"?");
  expect_part(told({{"number", -1}}), "expected a weight of 0 or more for \"number\"");
  expect_part(told({{"number", 0}, {"two", 0}, {"three", 0}}), "expected a target of a weight above 0");
  auto single = config();
  single.data = Json{{"part", "table"}};
  expect_part(refusal<ValueError>([&] { make_task(single); }), "expected data with several targets");
}

TEST(AreaUnderCurve, CountsPairsAndHalvesTies) {
  const auto score = at::tensor({0.1, 0.4, 0.4, 0.8, 0.4}, at::kDouble);
  const auto kind = at::tensor({0, 0, 1, 1, 1}, at::kLong).to(at::kBool);
  EXPECT_NEAR(area_under_curve(score, kind), (1 + 0.5 + 1 + 1 + 1 + 0.5) / 6, 1e-12);
  EXPECT_TRUE(std::isnan(area_under_curve(score, at::zeros({5}, at::kBool))));
  expect_part(refusal<ValueError>([&] { area_under_curve(score, at::zeros({4}, at::kBool)); }),
              "expected scores [n]");
}

ExpertUse use_of(const at::Tensor& weight, double second) {
  ExpertUse use;
  use.experts = {"shared 0", "shared 1"};
  use.answers = {at::tensor({1.0, -1.0, 0.0, 1.0}, at::kDouble).view({2, 2}),
                 at::full({2, 2}, second, at::kDouble)};
  use.gates = {{"like", {0, 1}, {1}, weight}};
  return use;
}

TEST(ExpertReport, ADeadExpertIsFoundByItsWeightAndByItsAnswers) {
  ExpertReport alive, unweighted, silent;
  alive.add(use_of(at::full({2, 2}, 0.5, at::kDouble), 1));
  EXPECT_EQ(alive.metrics().at("dead_experts"), 0);
  EXPECT_EQ(alive.metrics().at("zero_share"), 1.0 / 8);
  EXPECT_EQ(alive.metrics().at("own_weight.like"), 0.5);
  unweighted.add(use_of(at::tensor({0.96, 0.04, 0.96, 0.04}, at::kDouble).view({2, 2}), 1));
  EXPECT_EQ(unweighted.metrics().at("dead_experts"), 1) << "below a tenth of one half";
  silent.add(use_of(at::full({2, 2}, 0.5, at::kDouble), 0));
  silent.add(use_of(at::full({2, 2}, 0.5, at::kDouble), 0));
  ASSERT_EQ(silent.alarms().size(), 1u);
  expect_part(silent.alarms()[0], "\"shared 1\" is dead");
  EXPECT_EQ(silent.table().values[1].back(), 1.0);
}

TEST(MultiTask, ATrainingOfEachNetworkLearnsAndReports) {
  for (const auto* part : {"mmoe", "ple", "home"}) {
    TrainConfig c;
    c.name = "small", c.arm = part;
    c.data = Json{{"part", "task_groups"}, {"inputs", 6},   {"train", 400},
                  {"test", 200},           {"sparse", 0.2}, {"tasks", 2}};
    c.task = Json{{"part", "multi_task"}};
    c.network = Json{{"part", part}, {"width", 8}};
    c.objective = Json{{"part", "natural"}}, c.optimizer = Json{{"part", "adam"}};
    c.schedule = Json{{"lr", 0.02}};
    c.epochs = 6, c.batch = 64;
    const Scratch scratch;
    Trainer trainer(c);
    Recording seen;
    trainer.run({scratch.path()}, seen);
    const auto told = trainer.evaluate_on_test(seen);
    EXPECT_GT(told.metrics.at("auc"), 0.7) << part << ": one half is chance";
    EXPECT_EQ(told.metrics.count("dead_experts"), 1u);
    EXPECT_TRUE(told.details.contains("tables"));
    const auto known = trainer.task().tested();
    for (const auto& item : told.metrics)
      EXPECT_NE(std::find(known.begin(), known.end(), item.first), known.end()) << item.first;
  }
}

}  // namespace gw::test::multi_task_cases
