// How far an attack may go is an option of the task: who reads it there, and what earlier documents become.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/registry.h"
#include "gatewright/train/robust/threat_model.h"
#include "tests/support/refusal.h"
#include "tests/train/small_run.h"

namespace gw::test::threat_model_cases {

using gw::Json;

const Json kImages = {{"part", "image_classification"}};

std::string refused(const Json& table) {
  return refusal<ValueError>([&] {
    TrainConfig config;
    parse_options("recipe r", table, config);
  });
}

TEST(ThreatModel, AnObjectiveAsksTheTask) {
  EXPECT_EQ(threat_of(*image_task_within(0.25), "x").epsilon, 0.25);
  EXPECT_EQ(threat_of(image_task(), "x").epsilon, 8.0 / 255.0);
  TrainConfig config;
  config.task = "classification";
  const auto plain = make_task(config);
  for (const std::string name : {"trades", "adv_moe"}) {
    const auto told =
        refusal<ValueError>([&] { make_part<Objective>(name, Json::object(), Objective::Context{*plain}); });
    expect_part(told,
                "objectives/" + name + ": expected a task that says how far an attack may move an image");
    expect_part(told, "task = { part = \"image_classification\", epsilon = 0.1 }");
  }
  for (const char* name : {"natural", "thor"})
    EXPECT_NE(make_part<Objective>(name, Json::object(), Objective::Context{*plain}), nullptr) << name;
}

// With a radius of zero nothing is moved: the two runs would be the same if the task's radius were not read.
TEST(ThreatModel, TheRadiusOfTheRecipeIsTrainedAndMeasured) {
  const auto loss = [](double epsilon) {
    auto config = small_config(small_objective("trades"), 1);
    config.task = attacked_images({{"epsilon", epsilon}, {"validation_steps", 1}});
    config.epochs = 1;
    const Scratch scratch;
    Recording recording;
    Trainer trainer(config);
    trainer.run({scratch.path()}, recording);
    const auto tested = trainer.evaluate_on_test(recording);
    if (epsilon == 0) {
      EXPECT_EQ(tested.metrics.at("robust_accuracy"), tested.metrics.at("clean_accuracy"));
      EXPECT_EQ(recording.records.back().at("robust_accuracy"),
                recording.records.back().at("clean_accuracy"));
      const auto shown = trainer.samples();
      for (const auto& sample : shown.at("samples")) EXPECT_EQ(sample.at("clean"), sample.at("attacked"));
    }
    return recording.records.at(0).at("loss").get<double>();
  };
  EXPECT_GT(loss(0.5), loss(0));
}

TEST(ThreatModel, OnlyTasksWithExamplesToShowGiveSamples) {
  auto config = small_config(small_objective("natural"));
  EXPECT_EQ(Trainer(config).samples().at("samples").size(), 12u);
  config.task = "classification";
  EXPECT_TRUE(Trainer(config).samples().is_null());
}

TEST(ThreatModel, AnOptionBesideTheTaskIsAnsweredWithTheLineToWrite) {
  const Json one{{"epsilon", 0.1}};
  const std::string line =
      "recipe r: expected \"epsilon\" among the options of the task, got it beside them; write task = { part "
      "= "
      "\"image_classification\", epsilon = 0.1 }";
  EXPECT_EQ(refused(one), line);
  EXPECT_EQ(refused({{"epsilon", 0.1}, {"task", "image_classification"}}), line);
  EXPECT_EQ(refused({{"epsilon", 0.1}, {"task", kImages}}), line);
  expect_part(refused({{"validation_steps", 3}}),
              "write task = { part = \"image_classification\", validation_steps = 3 }");
  expect_part(refused({{"epsilon", 0.1}, {"task", {{"part", "next_token"}}}}),
              "it is one of tasks/image_classification, and the task here is tasks/next_token: leave it out");
  expect_part(refused({{"epslon", 0.1}}), "unknown option \"epslon\"");
  EXPECT_EQ(refused({{"task", {{"part", "image_classification"}, {"epsilon", 0.1}}}}), "accepted");
  for (const auto& task : {Json(3), Json::array(), Json{{"part", 3}}})
    refused({{"epsilon", 1}, {"task", task}});
}

TEST(ThreatModel, ARunOfAnEarlierVersionIsReadWithoutAChangeOfMeaning) {
  const Json then{{"epochs", 3}, {"task", kImages}, {"epsilon", 0.3}, {"validation_steps", 2}};
  const Json now{{"epochs", 3},
                 {"task", {{"part", "image_classification"}, {"epsilon", 0.3}, {"validation_steps", 2}}}};
  EXPECT_EQ(current_document(then), now);
  EXPECT_EQ(current_document(now), now);
  auto without = then;
  without.erase("task");
  EXPECT_EQ(current_document(without), now) << "there was a default";
  const auto config = read_config("run", then);
  EXPECT_EQ(threat_of(*make_task(config), "x").epsilon, 0.3);
  EXPECT_EQ(threat_of(*make_task(config), "x").validation_steps, 2);
  // All runs kept the two, and no other task ever read them.
  const Json bytes{{"task", {{"part", "next_token"}}}, {"epsilon", 0.03}, {"validation_steps", 5}};
  EXPECT_EQ(current_document(bytes), (Json{{"task", {{"part", "next_token"}}}}));
  EXPECT_EQ(current_document({{"epcohs", 4}}), (Json{{"epcohs", 4}}));
  EXPECT_EQ(current_document(Json(3)), Json(3));
}

TEST(ThreatModel, AReportFindsTheRadiusInOldRunsAndNew) {
  EXPECT_EQ(recorded_radius({{"epsilon", 0.3}}), 0.3);
  EXPECT_EQ(recorded_radius({{"task", {{"part", "image_classification"}, {"epsilon", 0.2}}}}), 0.2);
  EXPECT_EQ(recorded_radius({{"task", kImages}}), 8.0 / 255.0);
  EXPECT_EQ(recorded_radius({{"task", {{"part", "next_token"}}}, {"epsilon", 0.3}}), std::nullopt);
  for (const auto& foreign :
       {Json(), Json(3), Json{{"task", 3}}, Json{{"task", "no_such"}}, Json{{"epsilon", "x"}}})
    EXPECT_EQ(recorded_radius(foreign), std::nullopt) << foreign;
}

}  // namespace gw::test::threat_model_cases
