#pragma once
// Multi-head attention with shared keys, over sequences that lie one after the other.
#include "gatewright/language/blocks/norms.h"
#include "gatewright/language/blocks/projection.h"
#include "gatewright/language/blocks/sequence_rows.h"

namespace gw::inline language {

struct AttentionOptions {
  int64_t width = 0, heads = 0, key_heads = 0, head_width = 0;
  bool query_bias = false, output_bias = false;  ///< query_bias: of keys and values too
  std::string query_norm = "none";               ///< of queries and keys: none, head, whole (projection)
  double norm_epsilon = 1e-6;
  double clip = 0;   ///< of queries, keys and values to [−clip, clip]; 0: none
  double scale = 0;  ///< of scores; 0: 1/√head_width
  int64_t window = 0;
  bool sinks = false, rotated = true;
  bool causal = true;  ///< false: tokens see what comes after them
  RotaryOptions rotary;
};

/// Math:   q, k, v = x·Wᵀ (+ b), (normed,) (clipped,) rotated; y = attend(q, k, v)·Woᵀ (+ b), with the rows'
///         relative positions where they have some.
/// Shapes: x [N, width] → [N, width]; N tokens of all sequences.
/// Source: Vaswani et al. 2017, arXiv 1706.03762; Ainslie et al. 2023, arXiv 2305.13245 (shared keys).
class Attention : public AttentionBlock {
 public:
  Attention(const AttentionOptions& options, const Rng& rng, bool drawn);
  at::Tensor forward(const at::Tensor& x, const SequenceRows& rows, int64_t layer,
                     Decisions& decisions) override;
  const Rotary& rotary() const override { return rotary_; }
  void hold(int64_t bits, int64_t group) override;
  void adapt(const Json& adapters, const Rng& rng, const std::string& site) override;
  void end_step() override;

 private:
  at::Tensor normed(const at::Tensor& x, const TokenNorm* norm, int64_t heads) const;

  AttentionOptions options_;
  Rotary rotary_;
  std::shared_ptr<Projection> query_, key_, value_, output_;
  std::shared_ptr<TokenNorm> query_norm_, key_norm_;
  at::Tensor sinks_;
};

}  // namespace gw::inline language
