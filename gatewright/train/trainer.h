#pragma once
#include <atomic>
#include <functional>

#include "gatewright/base/stop.h"
#include "gatewright/data/loader.h"
#include "gatewright/train/budget.h"
#include "gatewright/train/checkpoint.h"
#include "gatewright/train/config.h"
#include "gatewright/train/objective.h"
#include "gatewright/train/order.h"
#include "gatewright/train/route_recording.h"
#include "gatewright/train/start.h"
#include "gatewright/train/task.h"
#include "gatewright/train/weight_average.h"

namespace gw::inline train {

/// Checkpoints in a run directory.
inline constexpr const char* kLastCheckpoint = "last.safetensors";
inline constexpr const char* kBestCheckpoint = "best.safetensors";

/// What happens during training, for run directories, progress lines and tests. Defaults do nothing.
class TrainObserver {
 public:
  virtual ~TrainObserver() = default;
  /// After each step. `record` has step, epoch, kind = "train" and the step's values. `steps_total` is 0
  /// where only a clock knows.
  virtual void on_step(const Json& /*record*/, int64_t /*steps_done*/, int64_t /*steps_total*/) {}
  /// After each epoch's validation, and after the last step of a budget. `record` has step, epoch, kind =
  /// "validation" and the task's measures.
  virtual void on_validation(const Json& /*record*/) {}
  /// What a checkpoint keeps for the observer, taken as it is written: how far its own files reach, for one.
  /// The same for every run of the same configuration, or checkpoints of equal runs would differ.
  virtual Json kept();
  /// Once, when training continues: what came after `step` is about to be done again. `kept` is what the
  /// checkpoint keeps, null for a run without one.
  virtual void on_resume(int64_t /*step*/, const Json& /*kept*/) {}
  /// At the end of every batch of a recorded run, for each layer that decides; also while the trained network
  /// is evaluated.
  virtual void on_routes(const RouteSummary& /*summary*/) {}
};

/// Trains one model on one task as a TrainConfig says. Deterministic: the same config gives the same bits,
/// whether or not the run was stopped and resumed between, and whatever the number of threads
/// (docs/decisions/004-randomness.md).
class Trainer {
 public:
  /// Loads data, builds the model. Errors: ValueError for impossible options, IoError for missing data.
  explicit Trainer(const TrainConfig& config);
  /// The same on data that are loaded already: what load_data(config) returned.
  Trainer(const TrainConfig& config, TaskData data);

  struct RunOptions {
    std::string directory;               ///< where checkpoints go; must exist
    bool resume = false;                 ///< continue from its last checkpoint
    Stop stop = {};                      ///< requested: save, then throw Interrupted
    std::function<double()> now_s = {};  ///< a steady clock; a budget in seconds needs it, nothing else
  };
  /// Trains to the end of the epochs, the budget or the patience. Afterwards the model holds the best
  /// checkpoint's weights, averaged ones if the config asks for an average. A run that was cut before its
  /// first checkpoint is resumed from the start. Errors: ValueError for weights to start from that do not fit
  /// the model, naming tensors and both shapes;
  ///         NumericError naming the step when a loss, gradient, answer or weight is not finite (the last
  ///         checkpoint of finite weights stays), Interrupted after saving,
  ///         IoError when a checkpoint cannot be written (the one before survives).
  void run(const RunOptions& options, TrainObserver& observer);

  /// What the task measures on the test examples. The tap sees the batches as test batches of the last step.
  Measured evaluate_on_test(TrainObserver& observer, const Tick& tick = {});

  /// What the task shows of the test examples, null for nothing.
  Json samples();

  Model& model() { return *model_; }
  /// Errors: ValueError if the model is no image network.
  Network& network() { return image_network(*model_, "train"); }
  const Task& task() const { return *task_; }
  const TaskData& data() const { return data_; }
  const TensorSet& validation() const { return validation_; }
  const TrainConfig& config() const { return config_; }
  Json config_json() const;

 private:
  void step(TrainObserver& observer);
  void end_epoch(const std::string& directory, TrainObserver& observer);
  double validate(TrainObserver& observer);
  void save(const std::string& path, TrainObserver& observer) const;
  void begin(const RunOptions& options, TrainObserver& observer);
  void load_start();
  int64_t steps_of_budget() const;
  double epochs_of_run() const;
  double used_seconds() const { return at_.seconds + (clock_ ? clock_() - began_s_ : 0); }
  bool spent() const;
  const WeightAverage* average() const { return average_ ? &*average_ : nullptr; }
  void open_taps(const RunOptions& options, TrainObserver& observer, bool goes_on);
  RouteFrame frame(RoutePhase phase, const Batch& batch) const;
  [[noreturn]] void stopped(const NumericError& error) const;
  [[noreturn]] void interrupt(const std::string& directory, TrainObserver& observer);

  TrainConfig config_;
  Schedule schedule_;
  BudgetOptions budget_;
  TaskData data_;
  TensorSet train_, validation_;
  std::shared_ptr<Task> task_;
  std::shared_ptr<Model> model_;
  std::unique_ptr<const Teacher> teacher_;
  std::shared_ptr<Objective> objective_;
  std::shared_ptr<Optimizer> experts_, router_;
  std::shared_ptr<Loader> loader_;
  EpochOrder order_;
  TrainState at_;
  std::optional<WeightAverage> average_;  ///< from the first step on, where the config wants one
  int64_t steps_total_ = 0;               ///< 0: a budget in seconds
  std::function<double()> clock_;
  double began_s_ = 0;
  RouteTaps routes_;
};

/// Refuses what can be refused without data and before an hour of training: unknown parts, keys and values
/// anywhere in the config. Errors: ValueError. Cost: builds the model once, for data of a made-up size, and
/// sends four examples of noise through it.
void check_config(const TrainConfig& config);
/// Refuses a training whose model does not fit the weights of another's, as far as that can be said without
/// data. Errors: ValueError naming tensors and both shapes. Cost: builds both models.
void check_start(const TrainConfig& config, const TrainConfig& source, const std::string& source_name);
/// The config with the checksum of the weights that it starts from, which tells this run from one that starts
/// elsewhere. Errors: as load_checkpoint.
TrainConfig noting_start(TrainConfig config);
/// Names of what a run of this config may record at steps and validations and measure on the test examples.
struct RecordNames {
  std::vector<std::string> steps, validations, tested;
};
RecordNames record_names(const TrainConfig& config);
/// Task, model and data of a config without training anything: evaluation, benchmarks.
std::shared_ptr<Task> make_task(const TrainConfig& config);
std::shared_ptr<Model> make_model(const TrainConfig& config, const TaskData& data, const Task& task);
/// Errors: ValueError if the config's model is no image network.
std::shared_ptr<Network> make_network(const TrainConfig& config, const TaskData& data);
TaskData load_data(const TrainConfig& config);

}  // namespace gw::inline train
