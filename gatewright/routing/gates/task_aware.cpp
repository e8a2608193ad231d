#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

/// Scores that know the token's task.
/// Math:   "embedding": s = W [x ; e_task] + b, e learned, N(0, 1); "separate": s = W_task x + b_task;
///         "none": s = W x + b, the task-blind control.
/// Shapes: x [T, D], task [T] → [T, E].
/// Errors: ValueError without task ids, or for one outside [0, tasks).
/// Source: Gupta et al. 2022, arXiv 2204.07689; a reconstruction from the abstract: sizes and initial scales
///         are ours.
class TaskAware : public Gate {
 public:
  static constexpr const char* kSummary = "linear scores of token and task";
  static constexpr const char* kSource = "Gupta et al. 2022, arXiv 2204.07689 (reconstruction)";
  static constexpr GateTraits kTraits = [] {
    GateTraits traits;
    traits.needs = "task";
    return traits;
  }();
  struct Options : OptionSet {
    int64_t tasks = 2, embedding = 32;
    std::string form = "embedding";
    void fields(OptionVisitor& v) override {
      v.integer("tasks", tasks, "number of tasks", 1, 1 << 20);
      v.integer("embedding", embedding, "width of a task's embedding", 1, 1 << 16);
      v.text("form", form, "how the task enters", {"embedding", "separate", "none"});
    }
  };

  TaskAware(const Options& options, const Context& context)
      : options_(options), width_(context.width), experts_(context.experts) {
    const Rng rng = Rng(context.seed).fork("gates/task_aware");
    const int64_t copies = options.form == "separate" ? options.tasks : 1;
    const int64_t in = width_ + (options.form == "embedding" ? options.embedding : 0);
    weight_ = register_parameter("weight", ops::default_uniform(rng.fork("weight"), {copies * experts_, in}));
    bias_ = register_parameter("bias", at::zeros({copies * experts_}));
    if (options.form == "embedding") {
      task_ =
          register_parameter("task", ops::normal(rng.fork("task"), {options.tasks, options.embedding}, 0, 1));
    }
  }

  at::Tensor forward(const at::Tensor& x) override { return score(x, {}); }

  at::Tensor score(const at::Tensor& x, const RouterInputs& inputs) override {
    check_tokens("gates/task_aware", x, width_);
    if (options_.form == "none") return ops::linear(x, weight_, bias_);
    const auto task = required_ids("gates/task_aware", "task", inputs.task, x.size(0), options_.tasks);
    if (options_.form == "embedding")
      return ops::linear(at::cat({x, task_.index_select(0, task)}, 1), weight_, bias_);
    const auto all = ops::linear(x, weight_, bias_).view({x.size(0), options_.tasks, experts_});
    return all.gather(1, task.view({-1, 1, 1}).expand({-1, 1, experts_})).squeeze(1);
  }

 private:
  Options options_;
  int64_t width_, experts_;
  at::Tensor weight_, bias_, task_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, gw::TaskAware);
