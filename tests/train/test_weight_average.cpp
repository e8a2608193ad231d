// The average of the weights over the steps: its recursion, what is evaluated and saved, and resuming.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/error.h"
#include "gatewright/base/file.h"
#include "gatewright/train/weight_average.h"
#include "tests/support/refusal.h"
#include "tests/train/small_run.h"

namespace gw::test::weight_average_cases {

using gw::Json;
using gw::Trainer;
using gw::WeightAverage;

struct Tiny : torch::nn::Module {
  at::Tensor weight, statistic, count;
  Tiny() {
    weight = register_parameter("weight", at::zeros({2}));
    statistic = register_buffer("statistic", at::zeros({1}));
    count = register_buffer("count", at::zeros({1}, at::kLong));
  }
  void set(float value) {
    const at::NoGradGuard no_grad;
    weight.fill_(value), statistic.fill_(2 * value), count.fill_(static_cast<int64_t>(value));
  }
};

TEST(WeightAverage, IsItsRecursionAndLeavesCountsAlone) {
  Tiny model;
  model.set(4);
  WeightAverage average(model, 0.5);
  double expected = 4;
  for (int64_t t = 1; t <= 20; ++t) {
    model.set(static_cast<float>(10 * t));
    average.update(t);
    const double kept = std::min(0.5, (1.0 + static_cast<double>(t)) / (10.0 + static_cast<double>(t)));
    expected = kept * expected + (1 - kept) * 10 * static_cast<double>(t);
  }
  {
    const WeightAverage::Scope averaged(&average);
    EXPECT_NEAR(model.weight[1].item<double>(), expected, 1e-4);
    EXPECT_NEAR(model.statistic[0].item<double>(), 2 * expected, 2e-4);
    EXPECT_EQ(model.count[0].item<int64_t>(), 200);
  }
  EXPECT_EQ(model.weight[1].item<double>(), 200);
  EXPECT_EQ(model.statistic[0].item<double>(), 400);
  const WeightAverage::Scope none(nullptr);
  EXPECT_EQ(model.weight[0].item<double>(), 200);
}

TEST(WeightAverage, RefusesAnotherModelsState) {
  Tiny model;
  WeightAverage average(model, 0.9);
  auto state = average.state();
  EXPECT_EQ(state.size(), 2u);
  const auto refused = [&](auto change) {
    auto other = state;
    change(other);
    return refusal<gw::ValueError>([&] { average.load_state(other); });
  };
  expect_part(refused([](auto& s) { s.erase("weight"); }), "expected the average of \"weight\"");
  expect_part(refused([](auto& s) { s["weight"] = at::zeros({3}); }), "as [2] of Float, got [3]");
  expect_part(refused([](auto& s) { s["more"] = at::zeros({1}); }),
              "expected 2 averages in the checkpoint, got 3");
  EXPECT_EQ(refused([](auto&) {}), "accepted");
}

gw::TrainConfig averaged(double decay) {
  auto config = small_config(small_objective("adv_moe"));
  config.average = decay;
  return config;
}

struct Run {
  std::string last, best;
  std::vector<Json> records;
};

/// Stops after each of `stops` steps and goes on in a new trainer.
Run run(const gw::TrainConfig& config, const std::vector<int64_t>& stops = {}) {
  const Scratch scratch;
  Recording recording;
  for (size_t i = 0; i <= stops.size(); ++i) {
    recording.stop = false, recording.stop_after = i < stops.size() ? stops[i] : -1;
    Trainer trainer(config);
    try {
      trainer.run({scratch.path(), i > 0, &recording.stop}, recording);
    } catch (const gw::Interrupted&) {
    }
  }
  return {gw::read_file(scratch / gw::kLastCheckpoint, 64 << 20),
          gw::read_file(scratch / gw::kBestCheckpoint, 64 << 20), recording.records};
}

gw::SafetensorsFile file_of(const std::string& bytes) {
  const Scratch scratch;
  write_file(scratch / "c", bytes);
  return gw::load_checkpoint(scratch / "c");
}

TEST(WeightAverage, ResumesBitForBitFromAnyStep) {
  const auto whole = run(averaged(0.9)), cut = run(averaged(0.9), {3, 6});
  EXPECT_EQ(whole.last, cut.last);
  EXPECT_EQ(whole.best, cut.best);
  EXPECT_EQ(whole.records, cut.records);
}

// The steps do not hear of the average; the best checkpoint is made of it, and validation measures it.
TEST(WeightAverage, IsWhatIsEvaluatedAndSaved) {
  auto config = averaged(0.9);
  config.epochs = 1;
  auto without = config;
  without.average = 0;
  const auto a = run(config), b = run(without);
  const auto last = file_of(a.last), best = file_of(a.best), plain = file_of(b.last);
  size_t averages = 0, moved = 0;
  for (const auto& [name, tensor] : gw::tensors_under(last, "average/")) {
    ++averages;
    EXPECT_TRUE(at::equal(tensor, best.tensors.at("model/" + name))) << name;
    moved += at::equal(tensor, last.tensors.at("model/" + name)) ? 0 : 1;
  }
  EXPECT_GT(averages, 10u);
  EXPECT_GT(moved, averages / 2);
  for (const auto& [name, tensor] : plain.tensors) {
    if (!name.starts_with("model/")) continue;
    EXPECT_TRUE(at::equal(tensor, last.tensors.at(name))) << name;
  }
  EXPECT_TRUE(gw::tensors_under(plain, "average/").empty());
  EXPECT_EQ(a.records.front(), b.records.front());
}

TEST(WeightAverage, IsWhatIsValidated) {
  auto config = small_config(small_objective("natural"));
  config.validation = 0.5, config.epochs = 4, config.schedule = Json{{"lr", 0.3}};
  const auto plain = run(config);
  config.average = 0.95;
  const auto with = run(config);
  ASSERT_EQ(plain.records.size(), with.records.size());
  size_t steps = 0, validations = 0;  // that differ
  for (size_t i = 0; i < plain.records.size(); ++i) {
    if (plain.records[i] != with.records[i]) ++(plain.records[i].at("kind") == "train" ? steps : validations);
  }
  EXPECT_EQ(steps, 0u) << "the average reached the training";
  EXPECT_GT(validations, 0u) << "the weights themselves were validated";
}

// Older run directories were written without the option.
TEST(WeightAverage, IsLeftOutOfARunsRecipeWhenOff) {
  EXPECT_FALSE(averaged(0).document().contains("average"));
  EXPECT_EQ(averaged(0.5).document().at("average"), 0.5);
}

}  // namespace gw::test::weight_average_cases
