#pragma once
#include <map>

#include "gatewright/base/error.h"
#include "gatewright/models/network.h"
#include "gatewright/routing/balancer.h"
#include "gatewright/train/optimizer.h"
#include "gatewright/train/task.h"

namespace gw::inline train {

class Teacher;

/// What one training step reports. Rates are over the batch.
struct StepReport {
  std::map<std::string, double> values;  ///< "loss", "clean_accuracy", "robust_accuracy", "router_loss" …
  std::vector<int64_t> load;             ///< rows per expert, the first decision; empty when dense
  std::map<std::string, double>
      reach;  ///< norm of each loss's gradient at the router; on the first step of a run only
};

/// What a step works on. `router` is null for models whose router is not trained apart.
struct StepContext {
  Model& model;
  const Task& task;
  const Batch& batch;
  Optimizer& experts;
  Optimizer* router = nullptr;
  double lr = 0;
  Rng rng{0};
  bool first = false;       ///< the first step of a run: losses for the router must show that they reach it
  int64_t done = 0;         ///< steps before this one
  RouteTap* tap = nullptr;  ///< sees the decisions of the step; null: nobody does
  const Teacher* teacher = nullptr;  ///< null: labels alone
  double progress = 0;               ///< share of the run's steps before this one; 0 where a clock ends it

  /// What a pass of this step with these draws depends on.
  ForwardOptions pass(const Rng& draws, RoutePurpose purpose = RoutePurpose::kClean) const {
    ForwardOptions options;
    options.rng = draws, options.step = done, options.purpose = purpose, options.tap = tap;
    return options;
  }
  /// What the answers on clean examples are held to: cross-entropy with the labels, or the teacher's loss.
  at::Tensor label_loss(const at::Tensor& logits) const;
  /// The model where an objective needs an image network. Errors: ValueError for another model.
  Network& network() const { return image_network(model, "objective"); }
};

/// One way to train: computes losses, asks for gradients and lets the optimizers step.
/// Errors: a loss or gradient that is not finite is a NumericError before any parameter changes.
class Objective {
 public:
  static constexpr const char* kKind = "objectives";
  struct Context {
    const Task& task;  ///< what is learned; an objective may ask it for more than every task has
  };
  virtual ~Objective() = default;
  virtual StepReport step(StepContext& context) = 0;
  /// Names of the values that a step may report: known before anything runs, so that marks on curves can be
  /// held to them.
  virtual std::vector<std::string> reports(const Task& task) const = 0;
  /// True when the router has an optimizer of its own; otherwise one optimizer holds all parameters.
  virtual bool separate_router() const { return false; }
};

/// d loss / d parameters, undefined where the loss does not depend on one, and for one that stands still
/// (which does not require a gradient). Errors: NumericError naming `what` if the loss or a gradient is not
/// finite; ValueError if none can learn. Cost:   the backward pass, and one sum over every gradient.
std::vector<at::Tensor> parameter_gradients(const at::Tensor& loss, const std::vector<at::Tensor>& parameters,
                                            const char* what);
/// Notes in the report how strongly a loss that teaches the router reaches it; does nothing after the first
/// step.
/// Errors: ValueError if the gradient is zero: a balance loss that is constant, detached or forgotten.
void note_reach(const StepContext& context, StepReport& report, const std::string& name,
                const at::Tensor& loss);
/// The sum of the balance losses that decisions brought; undefined without one.
at::Tensor balance_of(const std::vector<SitedPlan>& plans);
/// The balance loss of a recipe, null for an empty table.
/// Errors: ValueError for unknown parts and for controllers, which adjust policies that image networks do not
///         have.
std::shared_ptr<Balancer> make_balancer(const PartChoice& choice);
double accuracy(const at::Tensor& logits, const at::Tensor& labels);
/// Rows per expert of the first decision, empty when dense.
std::vector<int64_t> first_load(const std::vector<SitedPlan>& plans);

}  // namespace gw::inline train
