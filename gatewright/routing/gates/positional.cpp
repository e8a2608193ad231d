#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

/// Scores by where a token is, not by what it holds: experts divide space.
/// Math:   s = MLP(position), two hidden layers with GELU.
/// Shapes: x [T, D] (count only), position [T, P] → [T, E].
/// Errors: ValueError without positions, or of another number of coordinates.
/// Source: Hao et al. 2023, arXiv 2302.14376 (GNOT), geometric gating, with policies/dense_softmax.
class Positional : public Gate {
 public:
  static constexpr const char* kSummary = "scores of a token's coordinates";
  static constexpr const char* kSource = "Hao et al. 2023, arXiv 2302.14376";
  static constexpr GateTraits kTraits = [] {
    GateTraits traits;
    traits.needs = "position";
    return traits;
  }();
  struct Options : OptionSet {
    int64_t dimensions = 2, hidden = 64;
    void fields(OptionVisitor& v) override {
      v.integer("dimensions", dimensions, "coordinates P of a position", 1, 1024);
      v.integer("hidden", hidden, "hidden width of the MLP", 1, 1 << 16);
    }
  };

  Positional(const Options& options, const Context& context)
      : width_(context.width), dimensions_(options.dimensions) {
    const Rng rng = Rng(context.seed).fork("gates/positional");
    const int64_t widths[] = {options.dimensions, options.hidden, options.hidden, context.experts};
    for (int64_t l = 0; l < 3; ++l) {
      const auto name = std::to_string(l + 1);
      weight_.push_back(register_parameter("weight" + name,
                                           ops::default_uniform(rng.fork(name), {widths[l + 1], widths[l]})));
      bias_.push_back(register_parameter("bias" + name, at::zeros({widths[l + 1]})));
    }
  }

  at::Tensor forward(const at::Tensor& x) override { return score(x, {}); }

  at::Tensor score(const at::Tensor& x, const RouterInputs& inputs) override {
    check_tokens("gates/positional", x, width_);
    const auto& position = inputs.position;
    GW_CHECK(
        position.defined(),
        "gates/positional: expected the \"position\" of each token, got none; set RouterInputs::position");
    GW_CHECK(position.dim() == 2 && position.size(0) == x.size(0) && position.size(1) == dimensions_,
             "gates/positional: expected positions [{}, {}], got {} values", x.size(0), dimensions_,
             position.numel());
    auto y = position.to(weight_[0].scalar_type());
    for (size_t l = 0; l < 3; ++l) {
      y = ops::linear(y, weight_[l], bias_[l]);
      if (l < 2) y = at::gelu(y);
    }
    return y;
  }

 private:
  int64_t width_, dimensions_;
  std::vector<at::Tensor> weight_, bias_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, gw::Positional);
