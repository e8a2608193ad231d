#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

/// One gate per task over shared experts and the task's own (multi-task mixtures).
/// Math:   experts 0 … S−1 are shared, task m owns the `own` ones from S + m·own on, S = E − tasks·own; s =
///         W_m x + b_m, experts of other tasks masked. Self gate: weights w = softmax(s) plus softmax (σ for
///         own = 1) of a second map over the own experts; the scores are then ln w, for
///         policies/dense_softmax with score = "exp".
/// Shapes: x [T, D], task [T] → [T, E].
/// Errors: ValueError without task ids or for one out of range, if the tasks own more than E experts, or for
///         a self gate without own experts.
/// Source: Ma et al. 2018 (MMoE: own = 0); Tang et al. 2020 (PLE/CGC: own > 0); Wang et al. 2024, arXiv
///         2408.05430 (HoME: groups are `task` one level up, and the self gate; tests/mixture/test_wiring.cpp
///         has both levels). Differs: one task per token and pass.
class MultiGate : public Gate {
 public:
  static constexpr const char* kSummary = "a gate per task over shared experts and the task's own";
  static constexpr const char* kSource =
      "Ma et al. 2018; Tang et al. 2020; Wang et al. 2024, arXiv 2408.05430";
  static constexpr GateTraits kTraits = [] {
    GateTraits traits;
    traits.needs = "task";
    return traits;
  }();
  struct Options : OptionSet {
    int64_t tasks = 2, own = 0;
    bool self_gate = false;
    void fields(OptionVisitor& v) override {
      v.integer("tasks", tasks, "number of tasks", 1, 1 << 20);
      v.integer("own", own, "experts that belong to one task alone", 0, 1 << 20);
      v.flag("self_gate", self_gate, "a second, added gate over the task's own experts");
    }
  };

  MultiGate(const Options& options, const Context& context)
      : options_(options), width_(context.width), experts_(context.experts) {
    GW_CHECK(options.tasks * options.own <= experts_,
             "gates/multi_gate: expected tasks * own <= {} experts, got {} * {}", experts_, options.tasks,
             options.own);
    GW_CHECK(!options.self_gate || options.own > 0,
             "gates/multi_gate: expected own >= 1 for a self gate, got {}", options.own);
    const Rng rng = Rng(context.seed).fork("gates/multi_gate");
    weight_ = register_parameter(
        "weight", ops::default_uniform(rng.fork("weight"), {options.tasks * experts_, width_}));
    bias_ = register_parameter("bias", at::zeros({options.tasks * experts_}));
    if (!options.self_gate) return;
    self_weight_ = register_parameter(
        "self_weight", ops::default_uniform(rng.fork("self"), {options.tasks * options.own, width_}));
    self_bias_ = register_parameter("self_bias", at::zeros({options.tasks * options.own}));
  }

  at::Tensor forward(const at::Tensor& x) override { return score(x, {}); }

  at::Tensor score(const at::Tensor& x, const RouterInputs& inputs) override {
    check_tokens("gates/multi_gate", x, width_);
    const auto task = required_ids("gates/multi_gate", "task", inputs.task, x.size(0), options_.tasks);
    auto scores = of_task(ops::linear(x, weight_, bias_), task, experts_);
    if (options_.own == 0) return scores;
    const auto owner = at::div(at::arange(experts_, at::kLong) - (experts_ - options_.tasks * options_.own),
                               options_.own, "floor");
    const auto foreign = owner.ge(0).unsqueeze(0).logical_and(owner.unsqueeze(0).ne(task.unsqueeze(1)));
    scores = scores.masked_fill(foreign, kMaskedScore);
    return options_.self_gate ? with_self_gate(x, task, scores) : scores;
  }

 private:
  static at::Tensor of_task(const at::Tensor& all, const at::Tensor& task, int64_t columns) {
    return all.view({task.size(0), all.size(1) / columns, columns})
        .gather(1, task.view({-1, 1, 1}).expand({-1, 1, columns}))
        .squeeze(1);
  }

  at::Tensor with_self_gate(const at::Tensor& x, const at::Tensor& task, const at::Tensor& scores) const {
    const auto raw = of_task(ops::linear(x, self_weight_, self_bias_), task, options_.own);
    const auto self = options_.own == 1 ? at::sigmoid(raw) : at::softmax(raw, 1);
    const int64_t shared = experts_ - options_.tasks * options_.own;
    const auto place =
        (task * options_.own + shared).unsqueeze(1) + at::arange(options_.own, at::kLong).unsqueeze(0);
    const auto weight = at::softmax(scores, 1).scatter_add(1, place, self);
    return weight.clamp_min(1e-30).log().masked_fill(scores.le(kMaskedScore / 2), kMaskedScore);
  }

  Options options_;
  int64_t width_, experts_;
  at::Tensor weight_, bias_, self_weight_, self_bias_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, gw::MultiGate);
