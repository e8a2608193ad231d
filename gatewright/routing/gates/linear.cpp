#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/ops/row_product.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

/// One matrix product per token.
/// Math:   s = x W (+ b). Shapes: x [T, D] → [T, E]. Cost: 2·T·D·E flop.
/// Source: Shazeer et al. 2017, arXiv 1701.06538, eq. 4; the initial scale follows Fedus et al. 2021 (0.1).
class LinearGate : public Gate {
 public:
  static constexpr const char* kSummary = "linear scores of each token";
  static constexpr const char* kSource = "Shazeer et al. 2017, arXiv 1701.06538";
  struct Options : OptionSet {
    bool bias = false;
    double init_scale = 0.1;
    void fields(OptionVisitor& v) override {
      v.flag("bias", bias, "add a bias per expert");
      v.real("init_scale", init_scale, "standard deviation of the initial weights times sqrt(D)", 0, 100);
    }
  };

  LinearGate(const Options& options, const Context& context)
      : width_(context.width), experts_(context.experts) {
    const Rng rng = Rng(context.seed).fork("gates/linear");
    const double deviation = options.init_scale / std::sqrt(static_cast<double>(width_));
    weight_ = register_parameter("weight", ops::normal(rng, {experts_, width_}, 0, deviation));
    if (options.bias) bias_ = register_parameter("bias", at::zeros({experts_}));
  }

  at::Tensor forward(const at::Tensor& x) override {
    GW_CHECK(x.dim() == 2 && x.size(1) == width_,
             "gates/linear: expected tokens [T, {}], got {} dimensions, last of size {}", width_, x.dim(),
             x.dim() == 0 ? 0 : x.size(-1));
    return ops::linear_by_rows(x, weight_, bias_);
  }

 private:
  int64_t width_, experts_;
  at::Tensor weight_, bias_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, gw::LinearGate);
