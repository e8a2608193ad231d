#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

/// One decision per sequence or sentence, from the mean of its tokens; or the token's own with the sequence
/// as context.
/// Math:   m_q = mean of x_t over sequence q. "sequence": s_t = W m_q(t); "context": s_t = W x_t + U m_q(t).
/// Shapes: x [T, D], sequence [T] with ids in [0, T) → [T, E].
/// Errors: ValueError without sequence ids, or for one out of range.
/// Source: Kudugunta et al. 2021, arXiv 2110.03742 (sentence- and task-level routing). Not causal: the mean
///         looks ahead.
class Sequence : public Gate {
 public:
  static constexpr const char* kSummary = "linear scores of a sequence's mean, alone or beside the token";
  static constexpr const char* kSource = "Kudugunta et al. 2021, arXiv 2110.03742";
  static constexpr GateTraits kTraits = [] {
    GateTraits traits;
    traits.needs = "sequence";
    return traits;
  }();
  struct Options : OptionSet {
    std::string form = "sequence";
    double init_scale = 0.1;
    void fields(OptionVisitor& v) override {
      v.text("form", form, "the sequence decides, or is context for the token", {"sequence", "context"});
      v.real("init_scale", init_scale, "standard deviation of the initial weights times sqrt(D)", 0, 100);
    }
  };

  Sequence(const Options& options, const Context& context) : width_(context.width) {
    const Rng rng = Rng(context.seed).fork("gates/sequence");
    const double deviation = options.init_scale / std::sqrt(static_cast<double>(width_));
    weight_ = register_parameter("weight",
                                 ops::normal(rng.fork("sequence"), {context.experts, width_}, 0, deviation));
    if (options.form == "context")
      token_ = register_parameter("token_weight",
                                  ops::normal(rng.fork("token"), {context.experts, width_}, 0, deviation));
  }

  at::Tensor forward(const at::Tensor& x) override { return score(x, {}); }

  at::Tensor score(const at::Tensor& x, const RouterInputs& inputs) override {
    check_tokens("gates/sequence", x, width_);
    const int64_t tokens = x.size(0);
    const auto id = required_ids("gates/sequence", "sequence", inputs.sequence, tokens, tokens);
    const auto length = at::bincount(id, {}, tokens).clamp_min(1).to(x.scalar_type()).unsqueeze(1);
    const auto mean = at::zeros_like(x).index_add(0, id, x) / length;
    const auto scores = ops::linear(mean, weight_, {}).index_select(0, id);
    return token_.defined() ? scores + ops::linear(x, token_, {}) : scores;
  }

 private:
  int64_t width_;
  at::Tensor weight_, token_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, gw::Sequence);
