// network.precision = "bf16": experts compute in bf16, everything that is learned and kept stays f32.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/file.h"
#include "gatewright/mixture/mixture.h"
#include "gatewright/ops/random.h"
#include "gatewright/train/recipe.h"
#include "tests/support/refusal.h"
#include "tests/train/small_run.h"

namespace gw::test::precision_cases {

using gw::Json;

/// 58 windows of 16 bytes, 40 to train on: 5 steps an epoch.
TrainConfig token_config(const Scratch& scratch, const std::string& precision) {
  std::ofstream(scratch / "a.txt") << std::string(24 * 20, 'x').replace(3, 1, "y");
  {
    std::ofstream out(scratch / "b.txt");
    for (int i = 0; i < 12; ++i) out << "the cat sat on the mat and the dog on the log; ";
  }
  TrainConfig config;
  config.name = "precision", config.arm = precision;
  config.task = "next_token";
  config.data = Json{{"part", "bytes"}, {"files", {scratch / "a.txt", scratch / "b.txt"}}, {"context", 16}};
  const Json mixture{{"experts", 4},
                     {"policy", {{"part", "softmax_top_k"}, {"k", 2}}},
                     {"bank", {{"part", "mlp"}, {"hidden", 16}, {"activation", "gelu"}}},
                     {"shared_experts", 1},
                     {"balancers", {"switch_loss"}}};
  config.network = Json{
      {"part", "token_mixer"}, {"width", 12}, {"depth", 2}, {"precision", precision}, {"mixture", mixture}};
  config.objective = "natural", config.optimizer = "adam";
  config.schedule = Json{{"lr", 0.01}};
  config.epochs = 4, config.batch = 8, config.validation = 0.2;
  return config;
}

/// The last checkpoint of a run that was stopped after `stop` steps and resumed; −1: never stopped.
std::string last_checkpoint(const TrainConfig& config, int64_t stop) {
  const Scratch scratch;
  Recording recording;
  recording.stop_after = stop;
  try {
    Trainer(config).run({scratch.path(), false, &recording.stop}, recording);
  } catch (const Interrupted&) {
    recording.stop = false;
    Trainer(config).run({scratch.path(), true}, recording);
  }
  return gw::read_file(scratch / kLastCheckpoint, 64 << 20);
}

TEST(Precision, GradientsOfExpertsInBf16ArriveInF32Weights) {
  const auto run = [](const std::string& compute) {
    const auto layer =
        Mixture::from_json({{"experts", 4},
                            {"in", 16},
                            {"seed", 3},
                            {"shared_experts", 1},
                            {"bank", {{"part", "mlp"}, {"hidden", 32}, {"compute", compute}}}});
    const auto x = ops::normal(Rng(1), {64, 16}, 0, 1).requires_grad_();
    auto out = layer->forward(x);
    EXPECT_EQ(out.y.scalar_type(), at::kFloat);
    out.y.square().sum().backward();
    std::map<std::string, at::Tensor> seen{
        {"y", out.y.detach()}, {"x", x.grad()}, {"plan", out.plan.weight.detach()}};
    for (const auto& item : layer->named_parameters()) {
      EXPECT_EQ(item.value().scalar_type(), at::kFloat) << item.key();
      EXPECT_EQ(item.value().grad().scalar_type(), at::kFloat) << item.key();
      seen[item.key()] = item.value().grad();
    }
    return seen;
  };
  const auto want = run("f32"), got = run("bf16");
  ASSERT_EQ(want.size(), got.size());
  EXPECT_TRUE(got.at("plan").equal(want.at("plan"))) << "scores are made in f32";
  for (const auto& [name, tensor] : want) {
    const double off = (got.at(name) - tensor).norm().item<double>() / tensor.norm().item<double>();
    EXPECT_LT(off, 0.03) << name;  // a few roundings of 2^-9 to 2^-8 one after the other
    EXPECT_TRUE(name == "plan" || off > 1e-5) << name << ": computed in f32";
  }
}

TEST(Precision, ATrainingInBf16KeepsF32AndResumesToTheSameBits) {
  const Scratch texts;
  const auto config = token_config(texts, "bf16");
  Trainer trainer(config);
  for (const auto& item : trainer.model().named_parameters())
    EXPECT_EQ(item.value().scalar_type(), at::kFloat) << item.key();
  const auto whole = last_checkpoint(config, -1);
  EXPECT_TRUE(last_checkpoint(config, 3) == whole);
  EXPECT_TRUE(last_checkpoint(config, 10) == whole);
}

TEST(Precision, WhatCannotComputeInBf16IsRefusedByItsTrait) {
  const Scratch texts;
  const auto told = [](const TrainConfig& config) {
    return refusal<ValueError>([&] { check_config(config); });
  };
  auto config = small_config(small_objective("natural"));
  auto network = config.network.json();
  network["precision"] = "bf16", config.network = network;
  expect_part(told(config), "networks/image: expected precision = \"f32\", got \"bf16\"");
  expect_part(told(config), "the trait \"computes in bf16\"");
  config = token_config(texts, "bf16");
  network = config.network.json();
  EXPECT_EQ(told(config), "accepted");
  network["mixture"]["bank"]["packed"] = true, config.network = network;
  expect_part(told(config), "banks/mlp: expected packed = false with compute = \"bf16\"");
  network["mixture"]["bank"] = "gated_perceptron", config.network = network;
  expect_part(told(config),
              "with the trait \"computes in bf16\" for precision = \"bf16\", got banks/gated_perceptron");
  network["precision"] = "f32", config.network = network;
  EXPECT_EQ(told(config), "accepted");
  network["precision"] = "f16", config.network = network;
  expect_part(told(config), "unknown value \"f16\" for \"precision\"");
}

// The two documents of the recipe, as `gatewright train bytes --size tiny --arm top_2` runs it.
TEST(Precision, SlowBytesAreLearntAsWellInBf16) {
  const auto recipe = load_recipe("bytes", {"recipes"});
  const auto bits = [&](const std::string& precision) {
    TrainConfig config;
    parse_options("recipe", recipe.merged("top_2", "tiny", 0, {"network.precision=" + precision}), config);
    const Scratch scratch;
    Recording recording;
    Trainer trainer(config);
    trainer.run({scratch.path()}, recording);
    return trainer.evaluate_on_test(recording).metrics.at("bits_per_token");
  };
  const double f32 = bits("f32"), bf16 = bits("bf16");
  EXPECT_NE(f32, bf16);
  EXPECT_LT(bf16, 4.63) << "counts of single bytes";
  EXPECT_NEAR(bf16, f32, 0.02);
}

}  // namespace gw::test::precision_cases
