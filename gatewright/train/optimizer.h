#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "gatewright/base/options.h"
#include "gatewright/train/clip.h"

namespace gw::inline train {

/// A parameter as optimizers see it.
struct NamedParameter {
  std::string name;
  at::Tensor value;
  bool of_router = false;  ///< for gradient limits: the router has its own
};

/// Updates parameters in place from gradients. State is a map of named tensors so that checkpoints hold it
/// exactly.
class Optimizer {
 public:
  static constexpr const char* kKind = "optimizers";
  struct Context {
    std::vector<NamedParameter> parameters;
    ClipOptions clip = {};
  };
  explicit Optimizer(const Context& context)
      : parameters_(context.parameters), clip_(context.clip), steps_(parameters_.size(), 0) {}
  virtual ~Optimizer() = default;

  /// One step with the learning rate `lr`; `gradients` in the order of `parameters()`, undefined ones are
  /// skipped. They are brought within the context's limits first.
  void step(const std::vector<at::Tensor>& gradients, double lr);
  const std::vector<NamedParameter>& parameters() const { return parameters_; }
  std::vector<at::Tensor> values() const;

  /// "<parameter>/<slot>" → tensor, and "<parameter>/steps" → its updates so far.
  std::map<std::string, at::Tensor> state() const;
  /// Errors: ValueError naming the first tensor that is missing or has another shape or type; nothing changed
  ///         then.
  void load_state(const std::map<std::string, at::Tensor>& state);

 protected:
  /// Names of the state tensors of a parameter that was updated at least once: a checkpoint must hold them
  /// all.
  virtual std::vector<std::string> slot_names() const { return {}; }
  /// Updates one parameter; `step` counts its updates from 1, so that bias corrections fit a parameter that
  /// was skipped before.
  virtual void update(size_t index, at::Tensor& value, const at::Tensor& gradient, double lr,
                      int64_t step) = 0;
  /// The state tensor `slot` of parameter `index`, zero-filled on first use.
  at::Tensor& slot(size_t index, const char* name);
  bool decays(size_t index, const std::vector<std::string>& excluded) const;

 private:
  std::vector<NamedParameter> parameters_;
  ClipOptions clip_;
  std::map<std::string, at::Tensor> slots_;
  std::vector<int64_t> steps_;  ///< by parameter
};

}  // namespace gw::inline train
