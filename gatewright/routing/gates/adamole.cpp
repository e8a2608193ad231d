#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

/// Scores and a threshold per token: the two small networks of AdaMoLE.
/// Math:   columns 0 … E−1: x W (no bias); last column: ⟨w_t, x⟩ + b_t, the threshold before its sigmoid.
/// Shapes: x [T, D] → [T, E+1], for policies/adamole (Context::experts is the number of columns).
/// Source: Liu and Luo 2024, arXiv 2405.00361, section 3.2.
class AdaMole : public Gate {
 public:
  static constexpr const char* kSummary = "linear scores and a threshold per token, for policies/adamole";
  static constexpr const char* kSource = "Liu and Luo 2024, arXiv 2405.00361";
  struct Options : OptionSet {};

  AdaMole(const Options&, const Context& context) : width_(context.width) {
    GW_CHECK(context.experts >= 2,
             "gates/adamole: expected a column per expert and one for the threshold, got {} columns; use "
             "policies/adamole",
             context.experts);
    const Rng rng = Rng(context.seed).fork("gates/adamole");
    weight_ =
        register_parameter("weight", ops::default_uniform(rng.fork("weight"), {context.experts - 1, width_}));
    threshold_weight_ =
        register_parameter("threshold_weight", ops::default_uniform(rng.fork("threshold"), {1, width_}));
    threshold_bias_ = register_parameter("threshold_bias", at::zeros({1}));
  }

  at::Tensor forward(const at::Tensor& x) override {
    check_tokens("gates/adamole", x, width_);
    return at::cat({ops::linear(x, weight_, {}), ops::linear(x, threshold_weight_, threshold_bias_)}, 1);
  }

 private:
  int64_t width_;
  at::Tensor weight_, threshold_weight_, threshold_bias_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, gw::AdaMole);
