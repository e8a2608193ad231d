#pragma once
// Small trainings for the tests of `gatewright train`.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "gatewright/base/json.h"
#include "tests/cli/shell.h"
#include "tests/runs/scratch.h"

namespace gw::test {

// 54 images of 8x8 in batches of 8: 7 steps per epoch, some milliseconds each.
inline const std::string kSmall =
    "--quiet --threads 1 --set data.part=synthetic --set data.classes=3 --set data.height=8 --set "
    "data.width=8 --set data.train=60"
    " --set data.test=20 --set train_per_class=0 --set test_per_class=0 --set "
    "network.backbone_options.width=4 --set network.gate.width=2"
    " --set batch=8 --set checkpoint_steps=3 --set routes.record=true ";
inline const std::string kTrain = "train advmoe --size tiny --arm adv_moe " + kSmall;

inline std::string started(const std::string& directory, int epochs) {
  return kTrain + "--set epochs=" + std::to_string(epochs) + " --out " + directory;
}
inline std::string resumed(const std::string& directory) {
  return "train --quiet --threads 1 --resume " + directory;
}

inline int64_t lines(const std::string& path) {
  const auto text = read_file(path);
  return std::count(text.begin(), text.end(), '\n');
}

inline void expect_same_run(const std::string& a, const std::string& b) {
  for (const char* file : {"/best.safetensors", "/last.safetensors", "/metrics.jsonl", "/recipe.json",
                           "/routes.bin", "/routes.jsonl", "/routes.prom"}) {
    const auto expected = read_file(a + file);
    EXPECT_FALSE(expected.empty()) << file;
    EXPECT_TRUE(read_file(b + file) == expected) << file << " differs";
  }
  const auto evaluation = [](const std::string& directory) {
    auto document = Json::parse(read_file(directory + "/evaluation.json"));
    document.erase("timing");  // the only wall-clock values: of images here, of others among the metrics
    const Json all = document.value("metrics", Json::object());
    for (const auto& [name, value] : all.items())
      if (name.rfind("ms_per_", 0) == 0) document["metrics"].erase(name);
    return document;
  };
  EXPECT_EQ(evaluation(a), evaluation(b));
}

/// Three epochs without any disturbance.
inline const std::string& whole_run() {
  static const Scratch scratch;
  static const std::string directory = [] {
    expect(cli(started(scratch / "run", 3)), 0, "report: ");
    return scratch / "run";
  }();
  return directory;
}

/// A copy of the finished run as it was before its end: with checkpoints, without the measurements.
inline std::string unfinished(const Scratch& scratch) {
  const auto directory = scratch / "run";
  std::filesystem::copy(whole_run(), directory);
  std::filesystem::remove(directory + "/metrics.json");
  return directory;
}

}  // namespace gw::test
