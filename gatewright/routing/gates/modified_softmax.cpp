#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/activation.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

/// Linear scores of a bounded function of the token, which keeps gate and expert parameters apart.
/// Math:   s = W M(κ x) + b, M a bounded activation by element (docs/activations.md), κ fixed.
/// Shapes: x [T, D] → [T, E].
/// Errors: ValueError for an M that is not bounded.
/// Source: Nguyen et al. 2024, arXiv 2310.14188 (multinomial logistic mixtures), section 4: rates of
///         estimation return to n^(-1/2) where a constant expert would slow them below any power.
class ModifiedSoftmax : public Gate {
 public:
  static constexpr const char* kSummary = "linear scores of a bounded function of the token";
  static constexpr const char* kSource = "Nguyen et al. 2024, arXiv 2310.14188";
  struct Options : OptionSet {
    std::string map = "tanh";
    double slope = 1, init_scale = 0.1;
    void fields(OptionVisitor& v) override {
      v.text("map", map,
             "bounded function of each entry: tanh, sigmoid, softsign; gatewright list activations");
      v.real("slope", slope, "factor on the token before it", 1e-6, 1e6);
      v.real("init_scale", init_scale, "standard deviation of the initial weights times sqrt(D)", 0, 100);
    }
  };

  ModifiedSoftmax(const Options& options, const Context& context)
      : options_(options), width_(context.width), map_("gates/modified_softmax", options.map) {
    GW_CHECK(map_.bounded(),
             "gates/modified_softmax: expected a bounded function as map, got {}; take tanh or sigmoid",
             options.map);
    const Rng rng = Rng(context.seed).fork("gates/modified_softmax");
    const double deviation = options.init_scale / std::sqrt(static_cast<double>(width_));
    weight_ = register_parameter("weight", ops::normal(rng, {context.experts, width_}, 0, deviation));
    bias_ = register_parameter("bias", at::zeros({context.experts}));
  }

  at::Tensor forward(const at::Tensor& x) override {
    check_tokens("gates/modified_softmax", x, width_);
    return ops::linear(ops::activation(x * options_.slope, map_), weight_, bias_);
  }

 private:
  Options options_;
  int64_t width_;
  ops::ActivationFunction map_;
  at::Tensor weight_, bias_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, gw::ModifiedSoftmax);
