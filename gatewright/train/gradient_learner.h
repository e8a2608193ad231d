#pragma once
#include <deque>

#include "gatewright/train/learner.h"
#include "gatewright/train/objective.h"

namespace gw::inline train {

struct GradientLearnerOptions : OptionSet {
  int64_t steps = 1, memory = 0;
  void fields(OptionVisitor& v) override {
    v.integer("steps", steps, "of the objective with each window", 1, 100000);
    v.integer("memory", memory, "rows of earlier windows that are learned with it; 0: none", 0, 100000000);
  }
};

/// A network that takes steps of the configuration's objective with every window: what learners that do so
/// have in common. The learning rate is schedule.lr.
class GradientLearner : public Learner {
 public:
  explicit GradientLearner(const GradientLearnerOptions& options) : options_(options) {}
  /// Errors: those of make_model; ValueError for a schedule that is not constant, which a stream has no end
  ///         for.
  void begin(const LearnerSetup& setup) override;
  Answered answer(const Batch& batch, const Rng& rng) override;
  LearnerNews learn(const Answered& answered, const StreamMoment& moment) override;
  std::vector<std::string> reports() const override { return {"train_loss"}; }

 protected:
  /// The steps with a window; the mean loss. `rate`: factor on the learning rate.
  double take_steps(const Batch& batch, const Rng& rng, double rate);
  /// One of them, of the objective; its loss.
  virtual double step(const Batch& batch, const Rng& rng, double lr);
  /// The batch with the rows that are remembered.
  Batch with_memory(const Batch& batch) const;
  void remember(const Batch& batch);
  void forget() { memory_.clear(); }
  Model& model() { return *model_; }
  const Task& task() const { return *task_; }
  Optimizer& optimizer() { return *optimizer_; }
  void restart_optimizer();

 private:
  GradientLearnerOptions options_;
  const TrainConfig* config_ = nullptr;
  const Task* task_ = nullptr;
  std::shared_ptr<Model> model_;
  std::shared_ptr<Objective> objective_;
  std::shared_ptr<Optimizer> optimizer_;
  std::deque<Batch> memory_;
  double lr_ = 0;
  int64_t done_ = 0;
};

}  // namespace gw::inline train
