#pragma once
#include <torch/nn/module.h>

#include <optional>

#include "gatewright/base/error.h"
#include "gatewright/base/options.h"
#include "gatewright/routing/inputs.h"
#include "gatewright/routing/traits.h"

namespace gw::inline routing {

/// Who is wanted: maps inputs to scores over E experts. Raw scores (logits); policies normalise.
/// Shapes: tokens [T, D] or images / feature maps [B, C, H, W] → [T or B, E]; per-pixel gates → [B·H·W, E].
class Gate : public torch::nn::Module {
 public:
  static constexpr const char* kKind = "gates";
  struct Context {
    int64_t width = 0;    ///< D of tokens, or channels C of images
    int64_t experts = 2;  ///< E, or more columns where the policy asks for them (Policy::columns)
    uint64_t seed = 0;    ///< of the initial weights
  };
  virtual at::Tensor forward(const at::Tensor& x) = 0;
  /// The same with what is known about the tokens; gates that need none of it inherit this.
  virtual at::Tensor score(const at::Tensor& x, const RouterInputs& inputs) {
    (void)inputs;
    return forward(x);
  }
  /// Scores for the next block, made from this block's input; undefined for gates that decide for their own
  /// block.
  virtual at::Tensor ahead(const at::Tensor& x) {
    (void)x;
    return {};
  }
  /// True when the gate takes images [B, C, H, W] rather than tokens [T, D].
  virtual bool takes_images() const { return false; }
  /// Whether it knows `lead_bounds`.
  virtual bool bounded() const { return false; }
  /// Lower bounds of s_first − s_j, the lead of one expert over each other, on all images within radius[b]
  /// of x[b] in every pixel and inside [0, 1]; 0 at j = first. Differentiable. For images in f64 they hold
  /// for the scores as f32 arithmetic computes them (gatewright/ops/interval.h): a lead above 0 proves the
  /// choice. Shapes: x [B, C, H, W], first [B] int64, radius [B] → [B, E]. Errors: ValueError for a gate that
  /// has none.
  virtual at::Tensor lead_bounds(const at::Tensor& x, const at::Tensor& first, const at::Tensor& radius);

  /// The type of its weights, or of its buffers where it has none; nothing where it has neither.
  std::optional<at::ScalarType> weight_type() const;

  // A router stays in f32 where a layer goes to bf16 or f16: among experts of near scores, 8 bits would
  // choose by rounding.
  using torch::nn::Module::to;
  void to(torch::Device device, torch::Dtype dtype, bool non_blocking = false) override;
  void to(torch::Dtype dtype, bool non_blocking = false) override;
};

/// What layers and networks call: gate.score() of x in the gate's precision, f32 or f64, whatever that of x,
/// autocast or not.
/// Errors: as the gate; ValueError for a gate whose weights are neither f32 nor f64.
at::Tensor gate_scores(Gate& gate, const at::Tensor& x, const RouterInputs& inputs);
/// gate.ahead() in the same way.
at::Tensor gate_ahead(Gate& gate, const at::Tensor& x);
/// f32 for bf16 and f16, else the type itself.
at::ScalarType routing_type(at::ScalarType type);

/// Checks for [T, width]; the message names `part`.
void check_tokens(const char* part, const at::Tensor& x, int64_t width);

}  // namespace gw::inline routing
