#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

/// A gate per exit that reads how unsure the exit's own prediction is.
/// Math:   for exits l = 1 … E−1 with logits z_l: p = softmax(z_l); statistics max p, H(p), top-1 minus
///         top-2, and H of p² normalised; s_l = ⟨w_l, statistics⟩ + b_l. The last exit has score 0 (it always
///         answers).
/// Shapes: x [T, (E−1)·C], the exits' logits side by side → [T, E], for policies/early_exit.
/// Errors: ValueError unless E−1 divides the width into at least two classes.
/// Grad:   to w and b only: the statistics are detached, or exits would learn to look unsure.
/// Source: Chataoui et al. 2024, arXiv 2310.09163 (JEI-DNN), section 4.
class EarlyExit : public Gate {
 public:
  static constexpr const char* kSummary = "leave or go on, by four statistics of each exit's prediction";
  static constexpr const char* kSource = "Chataoui et al. 2024, arXiv 2310.09163";
  struct Options : OptionSet {};

  EarlyExit(const Options&, const Context& context) : width_(context.width), gates_(context.experts - 1) {
    GW_CHECK(gates_ >= 1 && width_ % gates_ == 0 && width_ / gates_ >= 2,
             "gates/early_exit: expected the logits of {} exits side by side, at least two classes each, got "
             "width {}",
             gates_, width_);
    const Rng rng = Rng(context.seed).fork("gates/early_exit");
    weight_ = register_parameter("weight", ops::default_uniform(rng, {gates_, kStatistics}));
    bias_ = register_parameter("bias", at::zeros({gates_}));
  }

  at::Tensor forward(const at::Tensor& x) override {
    check_tokens("gates/early_exit", x, width_);
    const auto p = at::softmax(x.detach().view({x.size(0), gates_, width_ / gates_}), 2);
    const auto two = std::get<0>(p.topk(2, 2));
    const auto sharp = p.square() / p.square().sum(2, true);
    const auto statistics =
        at::stack({two.select(2, 0), entropy(p), two.select(2, 0) - two.select(2, 1), entropy(sharp)}, 2);
    const auto scores = (statistics * weight_).sum(2) + bias_;
    return at::cat({scores, at::zeros({x.size(0), 1}, scores.options())}, 1);
  }

 private:
  static constexpr int64_t kStatistics = 4;
  static at::Tensor entropy(const at::Tensor& p) { return -(p * p.clamp_min(1e-30).log()).sum(2); }

  int64_t width_, gates_;
  at::Tensor weight_, bias_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, gw::EarlyExit);
