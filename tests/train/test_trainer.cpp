// A run as a whole: bit-exact resume, and what is left on disk when something goes wrong.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <csignal>
#include <fstream>
#include <limits>
#include <random>

#include "gatewright/base/error.h"
#include "gatewright/base/file.h"
#include "tests/train/small_run.h"

namespace gw::test::trainer_cases {

using gw::Json;
using gw::Trainer;

constexpr uint64_t kLimit_bytes = 64 << 20;
constexpr int64_t kStepsInAll = 8;

std::string bytes_of(const std::string& path) { return gw::read_file(path, kLimit_bytes); }

/// The model's tensors by name.
std::map<std::string, at::Tensor> weights(const gw::Network& network) {
  std::map<std::string, at::Tensor> out;
  for (const auto& item : network.named_parameters()) out[item.key()] = item.value().detach().clone();
  for (const auto& item : network.named_buffers()) out[item.key()] = item.value().detach().clone();
  return out;
}

void expect_equal(const std::map<std::string, at::Tensor>& a, const std::map<std::string, at::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
}

struct Finished {
  std::map<std::string, at::Tensor> network;
  std::string last, best;  // the checkpoints' bytes: weights, optimizer state, position
  std::vector<Json> records;
};

Finished finished(Trainer& trainer, const std::string& directory, const Recording& recording) {
  return {weights(trainer.network()), bytes_of(directory + "/" + gw::kLastCheckpoint),
          bytes_of(directory + "/" + gw::kBestCheckpoint), recording.records};
}

Finished uninterrupted(const gw::TrainConfig& config) {
  const Scratch scratch;
  Recording recording;
  Trainer trainer(config);
  trainer.run({scratch.path()}, recording);
  return finished(trainer, scratch.path(), recording);
}

/// Stops after each of `stops`, going on in a new Trainer every time.
Finished interrupted(const gw::TrainConfig& config, const std::vector<int64_t>& stops) {
  const Scratch scratch;
  Recording recording;
  for (size_t i = 0; i <= stops.size(); ++i) {
    recording.stop = false;
    recording.stop_after = i < stops.size() ? stops[i] : -1;
    Trainer trainer(config);
    try {
      trainer.run({scratch.path(), i > 0, &recording.stop}, recording);
      EXPECT_EQ(i, stops.size()) << "was not interrupted at step " << stops[i];
      return finished(trainer, scratch.path(), recording);
    } catch (const gw::Interrupted& stop) {
      EXPECT_NE(std::string(stop.what()).find("the run in " + scratch.path() + " can be resumed"),
                std::string::npos)
          << stop.what();
    }
  }
  ADD_FAILURE() << "never finished";
  return {};
}

void expect_same(const Finished& a, const Finished& b) {
  expect_equal(a.network, b.network);
  EXPECT_EQ(a.last, b.last);
  EXPECT_EQ(a.best, b.best);
  ASSERT_EQ(a.records.size(), b.records.size());
  for (size_t i = 0; i < a.records.size(); ++i) EXPECT_EQ(a.records[i], b.records[i]) << i;
}

Json objective_of(const std::string& part, const std::string& target) {
  auto objective = small_objective(part);
  if (!target.empty()) objective["router_target"] = target;
  return objective;
}

/// The message of the NumericError that the run ends with.
std::string numeric_error(Trainer& trainer, const std::string& directory, bool resume = false) {
  Recording recording;
  try {
    trainer.run({directory, resume}, recording);
  } catch (const gw::NumericError& error) {
    return error.what();
  } catch (const gw::Error& error) {
    ADD_FAILURE() << "another error: " << error.what();
    return "";
  }
  ADD_FAILURE() << "no error";
  return "";
}

void poison(gw::Network& network, const std::string& name) {
  const at::NoGradGuard no_grad;
  bool found = false;
  for (const auto& item : network.named_parameters()) {
    if (item.key().find(name) == std::string::npos) continue;
    item.value().view(-1)[0] = std::numeric_limits<float>::quiet_NaN();
    found = true;
  }
  ASSERT_TRUE(found) << name;
}

void expect_loads(const std::string& path, const gw::TrainConfig& config) {
  const auto network = gw::make_network(config, gw::load_data(config));
  gw::load_model(*network, gw::load_safetensors(path), path);
  for (const auto& p : network->parameters()) EXPECT_TRUE(at::isfinite(p).all().item<bool>());
}

TEST(Trainer, TheSameConfigGivesTheSameBits) {
  auto config = small_config(small_objective("adv_moe"));
  const auto a = uninterrupted(config), b = uninterrupted(config);
  expect_same(a, b);
  EXPECT_EQ(a.records.size(), static_cast<size_t>(kStepsInAll + 2));
  config.seed = 1;
  EXPECT_NE(uninterrupted(config).last, a.last);
}

TEST(Trainer, ResumesBitForBitFromAnyStep) {
  std::mt19937 random(20231012);  // committed: a failure repeats
  for (const auto& [part, target] : std::vector<std::pair<std::string, std::string>>{
           {"adv_moe", "label_mod_n"}, {"adv_moe", "bilevel"}, {"trades", ""}}) {
    SCOPED_TRACE(part + " " + target);
    const auto config = small_config(objective_of(part, target));
    const auto whole = uninterrupted(config);
    const auto first = static_cast<int64_t>(1 + random() % 3),
               second = static_cast<int64_t>(5 + random() % 3);
    SCOPED_TRACE("stops after " + std::to_string(first) + " and " + std::to_string(second));
    expect_same(whole, interrupted(config, {first, second}));
  }
}

TEST(Trainer, ResumesBitForBitBetweenEpochsAndWithAdam) {
  auto config = small_config(small_objective("adv_moe"));
  config.optimizer = "adam";
  expect_same(uninterrupted(config),
              interrupted(config, {4}));  // 4 steps per epoch: stops before the first step of the second
}

// Layers that choose by a temperature which falls from 2 to 0.5 over 16 steps: the run's 8 steps, numbered
// from 0, end at 2 - 1.5·7/16.
TEST(Trainer, ATemperatureFallsDuringARunAndAfterAResume) {
  auto config = small_config(small_objective("natural"));
  auto network = config.network.json();
  network["routing"] = "layer";
  network["gate"] = {{"part", "dense_to_sparse"},
                     {"learn", false},
                     {"temperature", 2.0},
                     {"anneal_to", 0.5},
                     {"anneal_steps", 16}};
  config.network = network;
  const auto whole = uninterrupted(config);
  int gates = 0;
  for (const auto& [name, tensor] : whole.network) {
    if (name.find("log_temperature") == std::string::npos) continue;
    ++gates;
    const double at_best =
        std::exp(tensor.item<double>());  // the kept network is the best epoch's: the last or the one before
    EXPECT_TRUE(std::abs(at_best - (2 - 1.5 * 7 / 16)) < 1e-6 ||
                std::abs(at_best - (2 - 1.5 * 3 / 16)) < 1e-6)
        << name << " " << at_best;
  }
  EXPECT_GT(gates, 0);
  expect_same(whole, interrupted(config, {3, 6}));
  network["gate"]["anneal_to"] = 2.0;  // a temperature that stays is another run
  config.network = network;
  EXPECT_NE(uninterrupted(config).last, whole.last);
}

TEST(Trainer, CheckpointsOnTheWayDoNotChangeTheRun) {
  auto config = small_config(small_objective("adv_moe"));
  const auto plain = uninterrupted(config);
  config.checkpoint_steps = 3;
  const auto often = uninterrupted(config);
  expect_equal(plain.network, often.network);
  EXPECT_EQ(plain.records, often.records);
}

TEST(Trainer, ARunCutBeforeItsFirstCheckpointStartsAgain) {
  const auto config = small_config(small_objective("adv_moe"));
  const auto whole = uninterrupted(config);
  const Scratch scratch;
  Recording recording;
  recording.records = {
      Json{{"step", 1}, {"kind", "train"}}};  // a record that was written before the process died
  Trainer trainer(config);
  trainer.run({scratch.path(), true}, recording);
  expect_same(whole, finished(trainer, scratch.path(), recording));
  std::filesystem::remove(scratch / gw::kLastCheckpoint);
  Trainer again(config);  // best without last: a file was lost, and starting anew would throw the best away
  EXPECT_THROW(again.run({scratch.path(), true}, recording), gw::ValueError);
}

TEST(Trainer, EndsWithTheBestWeights) {
  auto config = small_config(small_objective("natural"));
  config.epochs = 4;
  const Scratch scratch;
  Recording recording;
  Trainer trainer(config);
  trainer.run({scratch.path()}, recording);
  const auto file = gw::load_safetensors(scratch / gw::kBestCheckpoint);
  for (const auto& [name, tensor] : weights(trainer.network()))
    EXPECT_TRUE(at::equal(tensor, file.tensors.at("model/" + name))) << name;
  double best = -1;
  int64_t best_step = 0;
  for (const auto& record : recording.records) {
    if (record.at("kind") != "validation" || record.at("robust_accuracy").get<double>() <= best) continue;
    best = record.at("robust_accuracy"), best_step = record.at("step");
  }
  const auto progress = Json::parse(file.metadata.at("progress"));
  EXPECT_EQ(progress.at("step"), best_step);
  EXPECT_EQ(progress.at("best"), best);
  EXPECT_FALSE(trainer.network().is_training());
}

TEST(Trainer, DivergingWeightsNameTheStepAndAreNotSaved) {
  for (const char* part : {"natural", "trades", "adv_moe"}) {
    SCOPED_TRACE(part);
    auto config = small_config(small_objective(part));
    config.schedule = Json{{"lr", 1e3}, {"shape", "constant"}};
    config.optimizer =
        Json{{"part", "sgd"}, {"momentum", 0.0}, {"weight_decay", 1e3}};  // times -1e6 at every step
    config.checkpoint_steps = 1, config.epochs = 5;
    const Scratch scratch;
    Trainer trainer(config);
    const auto message = numeric_error(trainer, scratch.path());
    EXPECT_NE(message.find("stopped at step "), std::string::npos) << message;
    EXPECT_NE(message.find("the last good checkpoint was kept"), std::string::npos) << message;
    expect_loads(scratch / gw::kLastCheckpoint, config);
  }
}

TEST(Trainer, PoisonedWeightsAreFoundBeforeAnythingIsSaved) {
  for (const char* part : {"natural", "trades", "adv_moe"}) {
    for (const char* where : {"backbone.stem", "router.", "backbone.head"}) {
      SCOPED_TRACE(std::string(part) + " " + where);
      auto config = small_config(small_objective(part));
      config.checkpoint_steps = 1;
      const Scratch scratch;
      Recording recording;
      recording.stop_after = 2;
      EXPECT_THROW(Trainer(config).run({scratch.path(), false, &recording.stop}, recording), gw::Interrupted);
      const auto good = bytes_of(scratch / gw::kLastCheckpoint);
      auto file = gw::load_safetensors(scratch / gw::kLastCheckpoint);
      for (auto& [name, tensor] : file.tensors) {
        if (name.find(std::string("model/") + where) == 0 && tensor.is_floating_point() &&
            name.find("running") == std::string::npos)
          tensor.fill_(NAN);
      }
      gw::seal_checkpoint(file);
      gw::save_safetensors(scratch / gw::kLastCheckpoint, file);
      const auto poisoned = bytes_of(scratch / gw::kLastCheckpoint);
      ASSERT_NE(good, poisoned);
      Trainer trainer(config);
      const auto message = numeric_error(trainer, scratch.path(), true);
      EXPECT_NE(message.find("stopped at step 2 (epoch 0)"), std::string::npos) << message;
      EXPECT_EQ(bytes_of(scratch / gw::kLastCheckpoint), poisoned)
          << "a checkpoint was written after the NaN";
    }
  }
}

TEST(Trainer, RefusesToSavePoisonedWeights) {
  const auto config = small_config(small_objective("natural"));
  const Scratch scratch;
  Trainer trainer(config);
  poison(trainer.network(), "backbone.head");
  const auto message = numeric_error(trainer, scratch.path());
  EXPECT_NE(message.find("backbone.head"), std::string::npos) << message;
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

TEST(Trainer, AMissingDirectoryIsFoundBeforeTheFirstStep) {
  const auto config = small_config(small_objective("natural"));
  Recording recording;
  EXPECT_THROW(Trainer(config).run({"/proc/no/such/place"}, recording), gw::IoError);
  EXPECT_TRUE(recording.records.empty());
}

TEST(Trainer, AFullDiskKeepsTheLastGoodCheckpoint) {
  auto config = small_config(small_objective("adv_moe"));
  config.checkpoint_steps = 1;
  const Scratch scratch;
  Recording recording;
  recording.stop_after = 2;
  EXPECT_THROW(Trainer(config).run({scratch.path(), false, &recording.stop}, recording), gw::Interrupted);
  const auto good = bytes_of(scratch / gw::kLastCheckpoint);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{good.size() / 2, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string message;
  recording.stop = false, recording.stop_after = -1;
  try {
    Trainer(config).run({scratch.path(), true}, recording);
  } catch (const gw::IoError& error) {
    message = error.what();
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, handler);
  EXPECT_NE(message.find(gw::kLastCheckpoint), std::string::npos) << message;
  EXPECT_NE(message.find("File too large"), std::string::npos) << message;
  EXPECT_EQ(bytes_of(scratch / gw::kLastCheckpoint), good);
  Trainer trainer(config);
  trainer.run({scratch.path(), true}, recording);
  expect_same(uninterrupted(config), finished(trainer, scratch.path(), recording));
}

TEST(Trainer, RefusesSlipsInNestedTablesBeforeTraining) {
  const auto refusal = [](gw::TrainConfig config) {
    try {
      gw::check_config(config);
    } catch (const gw::ValueError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  const auto good = small_config(small_objective("adv_moe"));
  EXPECT_EQ(refusal(good), "accepted");
  auto bad = good;
  bad.evaluation = Json{{"attacks", Json::array({"jiont"})}};
  EXPECT_NE(refusal(bad).find("did you mean \"joint\"?"), std::string::npos) << refusal(bad);
  EXPECT_THROW(Trainer{bad}, gw::ValueError);
  bad.evaluation = Json{{"attacks", Json::array({"joint"})}, {"attack_options", {{"joint", {{"stpes", 3}}}}}};
  EXPECT_NE(refusal(bad).find("did you mean \"steps\"?"), std::string::npos) << refusal(bad);
  bad.evaluation = Json{{"attacks", Json::array({"joint"})}, {"attack_options", {{"jiont", {{"steps", 3}}}}}};
  EXPECT_NE(refusal(bad).find("did you mean \"joint\"?"), std::string::npos) << refusal(bad);
  bad = good, bad.network = Json{{"backbone", "smal_cnn"}};
  EXPECT_NE(refusal(bad).find("did you mean \"small_cnn\"?"), std::string::npos) << refusal(bad);
  bad = good,
  bad.network = Json::parse(
      R"({"experts":2,"ratio":0.5,"gate":{"part":"cnn","arch":"small"},"policy":{"part":"softmax_top_k","k":3}})");
  EXPECT_NE(refusal(bad).find("expected k <= experts (2), got 3"), std::string::npos) << refusal(bad);
  bad = good,
  bad.network = Json::parse(
      R"({"experts":4,"ratio":0.5,"gate":{"part":"cnn","arch":"small"},"policy":{"part":"softmax_top_k","k":2}})");
  EXPECT_NE(refusal(bad).find("expected one expert per image"), std::string::npos) << refusal(bad);
  bad = good, bad.optimizer = "sgdd";
  EXPECT_NE(refusal(bad).find("did you mean \"sgd\"?"), std::string::npos) << refusal(bad);
  bad = good, bad.objective = Json{{"part", "trades"}, {"balancer", {{"part", "swich_loss"}}}};
  EXPECT_NE(refusal(bad).find("did you mean \"switch_loss\"?"), std::string::npos) << refusal(bad);
}

// Nested tables are read with the run's own: no training begins, and the error names the option and the miss.
TEST(Trainer, RefusesSlipsInNestedTablesWhenTheyAreRead) {
  const auto refusal = [](const char* table, const Json& values) {
    gw::TrainConfig config;
    try {
      gw::parse_options("recipe", Json{{table, values}}, config);
    } catch (const gw::ValueError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(refusal("clip", {{"ruoter", 1}}),
            "recipe clip: unknown option \"ruoter\"; did you mean \"router\"?");
  EXPECT_EQ(refusal("schedule", {{"lrr", 1}}),
            "recipe schedule: unknown option \"lrr\"; did you mean \"lr\"?");
  EXPECT_NE(refusal("evaluation", {{"batch", 0}}).find("recipe evaluation: expected \"batch\""),
            std::string::npos);
  EXPECT_NE(refusal("schedule", {{"lr", "fast"}}).find("expected a number for \"lr\""), std::string::npos);
  EXPECT_NE(refusal("routes", 3).find("expected a table for \"routes\""), std::string::npos);
}

}  // namespace gw::test::trainer_cases
