#pragma once
// A training run that takes a fraction of a second: gratings of 8x8 pixels, a narrow network of two experts.
#include <atomic>
#include <string>
#include <vector>

#include "gatewright/base/json.h"
#include "gatewright/train/trainer.h"
#include "tests/runs/scratch.h"

namespace gw::test {

inline Json small_objective(const std::string& part) {
  if (part == "natural" || part == "thor") return {{"part", part}};
  return {{"part", part}, {"steps", 1}, {"beta", 2.0}};
}

/// The task of attacked images with these options.
inline Json attacked_images(Json options) {
  options["part"] = "image_classification";
  return options;
}

/// 60 images of 3 classes, 54 to train on in batches of 16: 4 steps per epoch.
inline TrainConfig small_config(const Json& objective, int64_t experts = 2) {
  TrainConfig config;
  config.name = "small", config.arm = objective.at("part");
  config.data =
      Json{{"part", "synthetic"}, {"classes", 3}, {"height", 8}, {"width", 8}, {"train", 60}, {"test", 24}};
  config.network = Json{{"backbone", "small_cnn"},
                        {"backbone_options", {{"width", 4}}},
                        {"experts", experts},
                        {"ratio", experts > 1 ? 0.5 : 1.0},
                        {"gate", {{"part", "cnn"}, {"arch", "small"}, {"width", 2}}}};
  config.objective = objective;
  config.schedule = Json{{"lr", 0.05}};
  config.augment = Json{{"pad", 1}, {"flip", true}};
  config.epochs = 2, config.batch = 16, config.task = attacked_images({{"validation_steps", 1}});
  return config;
}

/// The task of the image runs, for objectives that are stepped by hand.
inline std::shared_ptr<Task> image_task_within(double epsilon) {
  TrainConfig config;
  config.task = attacked_images({{"epsilon", epsilon}});
  return make_task(config);
}
inline const Task& image_task() {
  static const auto task = make_task(TrainConfig());
  return *task;
}

/// Keeps the records and, if asked, sets a flag after a step.
struct Recording : TrainObserver {
  std::vector<Json> records;
  std::atomic<bool> stop{false};
  int64_t stop_after = -1;
  Recording() = default;
  Recording(Recording&& other) noexcept
      : records(std::move(other.records)), stop(other.stop.load()), stop_after(other.stop_after) {}
  void on_step(const Json& record, int64_t done, int64_t) override {
    records.push_back(record);
    if (done == stop_after) stop = true;
  }
  void on_validation(const Json& record) override { records.push_back(record); }
  void on_resume(int64_t step, const Json&) override {
    std::vector<Json> kept;
    for (auto& record : records) {
      if (record.at("step").get<int64_t>() <= step) kept.push_back(std::move(record));
    }
    records = std::move(kept);
  }
};

}  // namespace gw::test
