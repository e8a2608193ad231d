#pragma once
// Attention whose heads are experts with tokens of their own.
#include "gatewright/language/blocks/mixed_attention.h"

namespace gw::inline language {

/// Attention cut into its heads: each takes some of the tokens, and these see each other alone.
/// Math:   y_t = Σ_{h that took t} weight_th · Wo_h · attend(Wq_h x_t, Wk_h x_S, Wv_h x_S) (+ b), S the
/// tokens
///         of t's text that h took, before and behind t. With all tokens in all heads and weights of 1 it is
///         plain attention: Wq, Wk, Wv by rows and Wo by columns.
/// Shapes: x [N, width] → [N, width]; wq, wk, wv [H, head_width, width], wo [H, width, head_width]. A token
/// that
///         no head took gets 0 (or b).
/// Errors: ValueError unless there is one expert for each head, for texts that are continued (a choice among
/// all
///         tokens looks ahead: an encoder), for weights in codes.
/// Cost:   with a share s of the tokens in each head s of the projections and s² of the scores.
/// Source: Yang et al. 2025, arXiv 2503.02495 (SHMA), from its code; differs: heads choose within each text
/// and
///         not over the batch, places are those of the text and not those among the chosen, weights are
///         whatever the policy says (its code scales by shares of the batch).
class HeadAttention : public AttentionBlock {
 public:
  HeadAttention(const MixedAttentionOptions& options, const Rng& rng, bool drawn);
  at::Tensor forward(const at::Tensor& x, const SequenceRows& rows, int64_t layer,
                     Decisions& decisions) override;
  const Rotary& rotary() const override { return rotary_; }
  void hold(int64_t bits, int64_t group) override;
  void end_step() override { router_.end_step(); }

 private:
  MixedAttentionOptions options_;
  Rotary rotary_;
  Router router_;
  at::Tensor query_, key_, value_, output_, bias_;
};

}  // namespace gw::inline language
