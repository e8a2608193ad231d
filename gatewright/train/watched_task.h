#pragma once
// What a task may say beside its loss: which slope it wants of an answer, and what tells that data have
// changed.
#include "gatewright/train/task.h"

namespace gw::inline train {

/// Beside Task: its loss and measures read the field "slope" [B, D] of a batch, the slope of the log odds of
/// a class by the inputs "x" at the answer that they are given. Who asks a model for answers makes it
/// (`answer_for`).
class SlopedTask {
 public:
  virtual ~SlopedTask() = default;
  /// The class, −1 if the task wants none after all.
  virtual int64_t sloped_class() const = 0;
};

/// Beside Task: numbers that tell a drift, other than its loss.
class WatchedTask {
 public:
  struct Watched {
    std::string name;
    double value = 0;
    bool two_sided = false;  ///< a drift may lower it as well
  };
  virtual ~WatchedTask() = default;
  virtual std::vector<Watched> watched(const Output& output, const Batch& batch) const = 0;
};

/// What is watched of a task: its own list, or its loss.
std::vector<WatchedTask::Watched> watched_of(const Task& task, const Output& output, const Batch& batch);

/// An answer, and the batch with the slope where the task wants one.
struct Answered {
  Output output;
  Batch batch;
};
/// `learns`: gradients flow through both; otherwise through neither, whatever the mode of the thread.
/// Errors: ValueError for a slope of data without floating "x".
/// Cost:   a slope costs a backward pass, and the gradient of one about two more.
Answered answer_for(const Task& task, Model& model, const Batch& batch, const Pass& pass, bool learns);

/// Answers in a row as one, with the rows that they are of; without plans and use.
Answered joined(const std::vector<Answered>& answers);

/// `task.measure` of all answers of a set at once, for measures that are no means over batches; evaluation
/// mode.
Measured measure_whole(const Task& task, const EvaluationPass& pass, int64_t size);

}  // namespace gw::inline train
