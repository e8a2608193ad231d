#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

/// Cosine similarity to a direction per expert, in a space of its own: the norm of a token does not affect
/// the scores. Math:   s = exp(min(τ, ln 100)) · ⟨z/‖z‖, w_e/‖w_e‖⟩, z = V x (or x itself for project = 0), τ
/// learned, τ₀
///         = ln(1/temperature).
/// Shapes: x [T, D] → [T, E]. A zero token scores zero.
/// Cost:   2·T·D·P + 2·T·P·E flop, P the width of the projection.
/// Source: Chi et al. 2022, arXiv 2204.09179 (X-MoE), section 3, with Tutel's clamp, τ₀ = ln 2, V of width
///         256 and w ~ N(0, 0.01). project = 0 with E·p columns is the gate of Soft MoE (Puigcerver et al.
///         2023, arXiv 2308.00951; its scale starts at 1).
class Cosine : public Gate {
 public:
  static constexpr const char* kSummary =
      "cosine similarity to a learned direction per expert, with a learned scale";
  static constexpr const char* kSource = "Chi et al. 2022, arXiv 2204.09179";
  struct Options : OptionSet {
    int64_t project = 256;
    double temperature = 0.5;
    void fields(OptionVisitor& v) override {
      v.integer("project", project, "width that tokens are projected to; 0: none", 0, 1 << 20);
      v.real("temperature", temperature, "initial temperature, learned from there", 1e-2, 1e3);
    }
  };

  Cosine(const Options& options, const Context& context) : width_(context.width) {
    const Rng rng = Rng(context.seed).fork("gates/cosine");
    const int64_t inner = options.project > 0 ? options.project : width_;
    if (options.project > 0)
      projection_ =
          register_parameter("projection", ops::default_uniform(rng.fork("projection"), {inner, width_}));
    weight_ = register_parameter("weight", ops::normal(rng, {context.experts, inner}, 0, 0.01));
    log_scale_ = register_parameter("log_scale", at::full({1}, -std::log(options.temperature)));
  }

  at::Tensor forward(const at::Tensor& x) override {
    check_tokens("gates/cosine", x, width_);
    const auto z = projection_.defined() ? ops::linear(x, projection_, {}) : x;
    return ops::linear(unit(z), unit(weight_), {}) * log_scale_.clamp_max(std::log(100.0)).exp();
  }

 private:
  // The floor keeps a zero token at score zero instead of NaN.
  static at::Tensor unit(const at::Tensor& rows) { return rows / rows.norm(2, {1}, true).clamp_min(1e-12); }

  int64_t width_;
  at::Tensor projection_, weight_, log_scale_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, gw::Cosine);
