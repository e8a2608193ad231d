#pragma once
// What is learned: which fields of the data, which answer, which loss, and what is measured.
#include <functional>
#include <map>

#include "gatewright/base/stop.h"
#include "gatewright/data/dataset.h"
#include "gatewright/models/model.h"
#include "gatewright/train/config.h"

namespace gw::inline train {

/// Called after each batch with the examples done and in all; throw to stop.

/// A set to be measured. `frame`: phase, step and epoch under which the tap sees the batches.
struct EvaluationPass {
  Model& model;
  const TensorSet& set;
  Rng rng{0};
  RouteFrame frame;
  Tick tick = {};
  RouteTap* tap = nullptr;  ///< null: nobody sees the decisions
};

/// Numbers by name, and what a report shows beside them.
struct Measured {
  std::map<std::string, double> metrics;
  Json details = Json::object();  ///< fields of evaluation.json (gatewright/runs/run_data.h)
};

/// Catalogue `gatewright/train/tasks/`.
class Task {
 public:
  static constexpr const char* kKind = "tasks";
  struct Context {
    const TrainConfig& config;
  };
  virtual ~Task() = default;

  /// Fields that batches must have.
  virtual std::vector<std::string> fields() const = 0;
  virtual AnswerSpec answer(const DataSpec& data) const = 0;
  /// Before anything is trained. Errors: ValueError for a model that cannot be measured as asked.
  virtual void check_model(Model& /*model*/) const {}
  /// Mean over the batch; differentiable.
  virtual at::Tensor loss(const Output& output, const Batch& batch) const = 0;
  /// Means over the batch, by name: what training steps and evaluations report. `loss` is that of the same
  /// answer.
  virtual std::map<std::string, double> measure(const Output& output, const Batch& batch,
                                                double loss) const = 0;
  /// Names of what `measure` gives, in the order in which tables show them, and of what `validate` and `test`
  /// may give: known before anything runs, so that marks can be held to them.
  virtual std::vector<std::string> measures() const = 0;
  virtual std::vector<std::string> validated() const;
  virtual std::vector<std::string> tested() const { return validated(); }
  /// Names of the tables that `test` may leave in its details, under "tables" (gatewright/train/curve.h).
  virtual std::vector<std::string> tables() const { return {}; }
  /// The metric on which the best checkpoint is chosen, and whether more of it is better.
  virtual std::string best_by() const = 0;
  virtual bool more_is_better() const { return true; }
  /// Measures that follow from means over the whole set (a root of a mean square).
  virtual void finish(std::map<std::string, double>& /*metrics*/) const {}

  /// What chooses the checkpoint, and what is measured in the end; by default `measure` over the set, in
  /// evaluation mode.
  virtual Measured validate(const EvaluationPass& pass) const;
  virtual Measured test(const EvaluationPass& pass) const;
  /// A few examples with their answers, for the report: the fields of samples.json
  /// (gatewright/runs/run_data.h); null: none to show.
  virtual Json samples(const EvaluationPass& /*pass*/) const { return nullptr; }
  /// The number that the checkpoint is chosen by, larger is better.
  double score(const Measured& measured) const;
};

/// Errors: ValueError for a field that the task reads and the data have not.
void check_fields(const std::string& task, const Task& task_part, const TaskData& data);

/// The frame of a batch: labels where decisions are one per example, as recordings keep them.
RouteFrame framed(RouteFrame frame, const Batch& batch);

/// Calls visit(batch, its pass) with each batch of `size` of the set, in evaluation mode and without
/// gradients, between `begin` and `end` of the tap; then ticks. Whoever visits asks the model.
void each_batch(const EvaluationPass& pass, int64_t size,
                const std::function<void(const Batch&, const Pass&)>& visit);
/// The same with body(batch, output), the model's answer to it.
void each_answer(const EvaluationPass& pass, int64_t size,
                 const std::function<void(const Batch&, const Output&)>& body);

/// `task.measure` averaged over a set in batches of `size`, evaluation mode, no gradients; "entropy" and
/// "load" of the first layer that decides: how evenly its rows are spread over the experts (1: even).
Measured measure_set(const Task& task, const EvaluationPass& pass, int64_t size);

}  // namespace gw::inline train
