// Training without labels, and training of which a part stands still.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/registry.h"
#include "gatewright/train/trainer.h"
#include "tests/runs/scratch.h"
#include "tests/support/refusal.h"
#include "tests/train/small_run.h"

namespace gw::test::own_losses_cases {

TrainConfig config(const Json& network, const char* task) {
  TrainConfig made;
  made.name = "small", made.arm = task;
  made.data = Json{{"part", "graph_families"}, {"families", {"ring", "blocks"}}, {"graphs", 2}};
  Json all{{"part", "gmope"}, {"width", 8}, {"layers", 2}, {"experts", 2}, {"k", 2}};
  all.update(network);
  made.network = all;
  made.objective = Json("natural"), made.optimizer = Json("adam"), made.task = Json(task);
  made.schedule = Json{{"lr", 0.02}};
  made.epochs = 15, made.batch = 4096, made.validation = 0.2;
  return made;
}

std::map<std::string, at::Tensor> weights(Model& model) {
  std::map<std::string, at::Tensor> out;
  for (const auto& item : model.named_parameters()) out[item.key()] = item.value().detach().clone();
  return out;
}

TEST(OwnLosses, EdgesAreLearnedWithoutLabels) {
  const Scratch scratch;
  Trainer trainer(config({{"edges", true}}, "own_losses"));
  const auto before = weights(trainer.model());
  Recording records;
  trainer.run({scratch.path()}, records);
  double first = 0, last = 0;
  for (const auto& record : records.records) {
    if (record.at("kind") != "validation") continue;
    last = record.at("own_loss").get<double>();
    if (first == 0) first = last;
  }
  EXPECT_LT(last, first);
  const auto after = weights(trainer.model());
  EXPECT_TRUE(after.at("head.weight").equal(before.at("head.weight"))) << "no label has taught it";
  EXPECT_FALSE(after.at("expert0.weight0").equal(before.at("expert0.weight0")));
  const auto tested = trainer.evaluate_on_test(records);
  EXPECT_GE(tested.metrics.at("prompt_cosine"), 0.0);
}

TEST(OwnLosses, WhatStandsStillDoesAndTheRestLearns) {
  const Scratch scratch;
  Trainer trainer(config({{"tune", "prompts"}}, "expert_classification"));
  const auto before = weights(trainer.model());
  Recording records;
  trainer.run({scratch.path()}, records);
  for (const auto& [name, value] : weights(trainer.model())) {
    const bool expert = name.rfind("expert", 0) == 0;
    EXPECT_EQ(value.equal(before.at(name)), expert) << name;
  }
}

TEST(OwnLosses, AModelWithoutLossesIsRefused) {
  const Scratch scratch;
  Trainer trainer(config({{"orthogonality", 0.0}}, "own_losses"));
  Recording records;
  expect_part(refusal<ValueError>([&] { trainer.run({scratch.path()}, records); }),
              "take gmope with edges = true");
}

}  // namespace gw::test::own_losses_cases
