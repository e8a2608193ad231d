#pragma once
// Models as the training loop sees them: a batch of named tensors in, one answer and the decisions out.
#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <vector>

#include "gatewright/base/options.h"
#include "gatewright/data/dataset.h"
#include "gatewright/models/expert_use.h"
#include "gatewright/routing/pass.h"

namespace gw::inline models {

/// What the data hold, as a model must know it before it is built.
struct DataSpec {
  int64_t channels = 0, height = 0, width = 0;  ///< of the field "image"; 0 without one
  int64_t vocabulary = 0, context = 0;          ///< of the field "token"
  int64_t inputs = 0;                           ///< columns of the field "x"
  std::vector<int64_t> numeric;                 ///< which of those are numbers; the others are 0 or 1
  std::vector<InputField> fields;               ///< which columns of "x" belong together; empty: not said
  int64_t classes = 0, domains = 0;
  std::vector<TargetColumn> targets;  ///< columns of the field "targets"
  double degree = 0;                  ///< of a graph: mean number of edges into a node; 0 without one
  int64_t source_context = 0;         ///< of the field "source_token"; 0 without one
};
DataSpec spec_of(const TaskData& data);

/// What a task wants: `width` numbers for each example, or for each of its tokens.
/// `parts`: where an answer is made of several, their names and widths side by side.
struct AnswerPart {
  std::string name;
  int64_t width = 1;
};
struct AnswerSpec {
  int64_t width = 1;
  bool per_token = false;
  std::vector<AnswerPart> parts = {};
};

struct Output {
  at::Tensor answer;  ///< [B, width], or [B, T, width]
  std::vector<SitedPlan> plans;
  std::shared_ptr<const ExpertUse> use = nullptr;  ///< of models with gates that leave no expert out
  /// [M, M] of models whose fields of a row look at each other, in evaluation: how much m looks at k, mean
  /// over rows, heads and layers; rows sum to 1.
  at::Tensor attention = {};
};

/// Catalogue `gatewright/models/networks/`. What a pass depends on is in its Pass: two threads may run one
/// model with different draws, taps and modes at the same time.
class Model : public torch::nn::Module {
 public:
  static constexpr const char* kKind = "networks";
  struct Context {
    DataSpec data;
    AnswerSpec answer;
    uint64_t seed = 0;  ///< of the initial weights
  };
  using torch::nn::Module::Module;

  /// Errors: ValueError if the batch lacks a field or a field has another shape than the data that the model
  ///         was built for.
  virtual Output answer(const Batch& batch, const Pass& pass) = 0;
  /// `count` examples of noise of the right shape: for checks, counts of operations and timings.
  virtual Batch example(int64_t count, const Rng& rng) const = 0;
  /// Once, before the first training step and before weights of a checkpoint replace it: what a model takes
  /// from the training examples themselves (quantiles), into buffers that checkpoints keep.
  virtual void prepare(const TensorSet& /*train*/) {}
  /// After an optimiser step: what adjusts itself between steps (selection biases) does so.
  virtual void end_step() {}
  virtual bool routed() const = 0;
  /// What a tensor of this name is called in a model with one pathway, from which start = {copies = true}
  /// takes it where the checkpoint has not this name.
  virtual std::string copied_name(const std::string& name) const { return name; }

  /// Parameters that decide who is chosen, by their names: those of gates. Without those that are held still
  /// (requires_grad off), which no optimizer sees either.
  std::vector<at::Tensor> router_parameters() const { return parameters_that(true); }
  std::vector<at::Tensor> other_parameters() const { return parameters_that(false); }
  int64_t parameter_count() const;
  /// The share of them that learns: those that require a gradient. 0 without parameters.
  double trained_share() const;

 private:
  std::vector<at::Tensor> parameters_that(bool of_router) const;
};

/// Multiply-adds of one example, counted while one of noise passes in evaluation mode. Cost: one forward
/// pass.
int64_t count_macs(Model& model);

}  // namespace gw::inline models
