// Budgets in place of epochs: how many steps they give, what schedules make of them, and how they are
// resumed.
#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/base/error.h"
#include "gatewright/base/file.h"
#include "gatewright/models/model.h"
#include "tests/train/small_run.h"

namespace gw::test::budget_cases {

using gw::Json;

constexpr uint64_t kLimit_bytes = 64 << 20;

gw::TrainConfig config_with(const Json& budget, const Json& schedule = {{"lr", 0.05}}) {
  auto config = small_config(small_objective("natural"));  // 54 examples in batches of 16: 16, 16, 16, 6
  config.budget = budget, config.schedule = schedule, config.epochs = 9;
  return config;
}

/// A clock that a step moves by one second.
struct Clocked : Recording {
  double now = 0, per_step = 1;
  std::vector<int64_t> totals;
  void on_step(const Json& record, int64_t done, int64_t total) override {
    Recording::on_step(record, done, total);
    totals.push_back(total);
    now += per_step;
  }
  std::vector<int64_t> steps(const char* kind) const {
    std::vector<int64_t> found;
    for (const auto& record : records)
      if (record.at("kind") == kind) found.push_back(record.at("step"));
    return found;
  }
};

Clocked trained(const gw::TrainConfig& config, const Scratch& scratch, bool resume = false,
                int64_t stop_after = -1, double now = 0) {
  Clocked clocked;
  clocked.stop_after = stop_after, clocked.now = now;
  gw::Trainer trainer(config);
  try {
    trainer.run({scratch.path(), resume, &clocked.stop, [&] { return clocked.now; }}, clocked);
    EXPECT_LT(stop_after, 0) << "was not interrupted";
  } catch (const gw::Interrupted&) {
    EXPECT_GE(stop_after, 0);
  }
  return clocked;
}

std::string refusal(const gw::TrainConfig& config) {
  try {
    gw::check_config(config);
  } catch (const gw::Error& error) {
    return error.what();
  }
  return "accepted";
}

std::string bytes(const Scratch& scratch, const char* file) {
  return gw::read_file(scratch.path() + "/" + file, kLimit_bytes);
}

TEST(Budget, ExamplesEndTheRunWithTheStepThatReachesThem) {
  EXPECT_EQ(gw::steps_for(1, 4, 16, 54), 1);
  EXPECT_EQ(gw::steps_for(16, 4, 16, 54), 1);
  EXPECT_EQ(gw::steps_for(17, 4, 16, 54), 2);
  EXPECT_EQ(gw::steps_for(54, 4, 16, 54), 4);
  EXPECT_EQ(gw::steps_for(55, 4, 16, 54), 5);
  EXPECT_EQ(gw::steps_for(108, 4, 16, 54), 8);
  const Scratch scratch;
  const auto run = trained(config_with({{"examples", 60}}), scratch);
  EXPECT_EQ(run.steps("train"), (std::vector<int64_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(run.steps("validation"), (std::vector<int64_t>{4, 5})) << "the end is validated too";
  EXPECT_EQ(run.totals.front(), 5);
}

TEST(Budget, MultiplyAddsAreThoseOfTheResults) {
  const auto config = config_with({{"macs", 1}});
  const auto network = gw::make_network(config, gw::load_data(config));
  const double each = static_cast<double>(network->cost().total());
  const auto steps = [&](double examples) {
    const Scratch scratch;
    return trained(config_with({{"macs", each * examples}}), scratch).steps("train").size();
  };
  EXPECT_EQ(steps(16), 1u);
  EXPECT_EQ(steps(16.5), 2u);
  EXPECT_EQ(steps(40), 3u);
}

TEST(Budget, TheCosineKnowsTheNumberOfSteps) {
  const Scratch scratch;
  const auto run = trained(config_with({{"examples", 40}}), scratch);
  for (size_t k = 0; k < 3; ++k)
    EXPECT_NEAR(run.records[k].at("lr").get<double>(),
                0.05 * 0.5 * (1 + std::cos(M_PI * static_cast<double>(k) / 3)), 1e-15);
}

// Fails if the rate falls by steps that nobody knows the number of, or begins anew after an interruption.
TEST(Budget, TheCosineFallsByTheClock) {
  const auto config = config_with({{"seconds", 6}}, {{"lr", 0.05}});
  const auto expected = [](int64_t k) {
    return 0.05 * 0.5 * (1 + std::cos(M_PI * static_cast<double>(k) / 6));
  };
  const Scratch whole, cut;
  int64_t k = 0;
  const auto run = trained(config, whole);
  for (const auto& record : run.records)
    if (record.at("kind") == "train") {
      EXPECT_NEAR(record.at("lr").get<double>(), expected(k++), 1e-15);
    }
  EXPECT_EQ(k, 6);
  trained(config, cut, false, 2);
  const auto rest = trained(config, cut, true, -1, 1000);
  EXPECT_NEAR(rest.records.front().at("lr").get<double>(), expected(2), 1e-15);
}

TEST(Budget, AsManyExamplesAsEpochsGiveTheSameBits) {
  const Scratch by_examples, by_epochs;
  trained(config_with({{"examples", 108}}, {{"lr", 0.05}, {"per_step", true}}), by_examples);
  auto config = config_with(Json::object(), {{"lr", 0.05}, {"per_step", true}});
  config.epochs = 2;
  trained(config, by_epochs);
  const auto tensors = [](const Scratch& scratch) {
    return gw::load_checkpoint(scratch.path() + "/" + gw::kLastCheckpoint).tensors;
  };
  for (const auto& [name, tensor] : tensors(by_examples))
    EXPECT_TRUE(tensor.equal(tensors(by_epochs).at(name))) << name;
}

TEST(Budget, AResumedRunHasTheSameBits) {
  const auto config = config_with({{"examples", 120}});
  const Scratch whole, cut;
  trained(config, whole);
  trained(config, cut, false, 5);
  trained(config, cut, true);
  for (const char* file : {gw::kLastCheckpoint, gw::kBestCheckpoint})
    EXPECT_EQ(bytes(whole, file), bytes(cut, file));
  EXPECT_TRUE(trained(config, cut, true).records.empty()) << "it has ended";
}

TEST(Budget, SecondsGoOnWhereTheyStood) {
  const auto config = config_with({{"seconds", 6}}, {{"shape", "constant"}, {"lr", 0.05}});
  const Scratch scratch;
  EXPECT_EQ(trained(config, scratch, false, 2).steps("train").back(), 2);
  const auto rest = trained(config, scratch, true, -1, 1000);  // another process has another clock
  EXPECT_EQ(rest.steps("train"), (std::vector<int64_t>{3, 4, 5, 6}));
  EXPECT_EQ(rest.steps("validation"), (std::vector<int64_t>{4, 6}));
  EXPECT_EQ(rest.totals.front(), 0) << "nobody knows";
  EXPECT_TRUE(trained(config, scratch, true, -1, 5000).records.empty()) << "it has ended";
}

TEST(Budget, WhatCannotBeIsRefused) {
  const auto part = [](const std::string& text, const std::string& of) {
    EXPECT_NE(text.find(of), std::string::npos) << text;
  };
  EXPECT_EQ(refusal(config_with({{"examples", 60}})), "accepted");
  part(refusal(config_with({{"examples", 60}, {"macs", 1e6}})), "expected exactly one of examples");
  part(refusal(config_with({{"examples", 0}})), "expected exactly one of examples");
  try {
    config_with({{"exampels", 60}});
    FAIL();
  } catch (const gw::ValueError& error) {
    part(error.what(), "did you mean \"examples\"?");
  }
  EXPECT_EQ(refusal(config_with({{"seconds", 60}}, {{"shape", "step"}})), "accepted");
  try {
    gw::Trainer trainer(config_with({{"tokens", 60}}));
    FAIL();
  } catch (const gw::ValueError& error) {
    part(error.what(), "expected data with tokens, got none");
  }
  gw::Trainer without(config_with({{"seconds", 6}}, {{"shape", "constant"}}));
  Recording recording;
  const Scratch scratch;
  EXPECT_THROW(without.run({scratch.path()}, recording), gw::ValueError) << "no clock";
}

TEST(Budget, RunsWithoutOneAreDescribedAsBefore) {
  EXPECT_FALSE(config_with(Json::object()).document().contains("budget"));
  EXPECT_EQ(config_with({{"examples", 60}}).document().at("budget"), (Json{{"examples", 60}}));
}

}  // namespace gw::test::budget_cases
