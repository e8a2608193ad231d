#pragma once
// Multi-head attention with shared keys, over sequences that lie one after the other.
#include "gatewright/language/blocks/key_value_cache.h"
#include "gatewright/language/blocks/norms.h"
#include "gatewright/language/blocks/projection.h"
#include "gatewright/language/blocks/rotary.h"

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
  RotaryOptions rotary;
};

/// Where the sequences of a pass lie among its tokens, and what each remembers.
struct SequenceRows {
  std::vector<int64_t> lengths;       ///< tokens of each in this pass
  std::vector<DecoderState*> states;  ///< one for each, or none: texts that begin here and are not continued
  Rotary::Angles angles;              ///< of every token's place in its text
};

/// Math:   q, k, v = x·Wᵀ (+ b), (normed,) (clipped,) rotated; y = attend(q, k, v)·Woᵀ (+ b).
/// Shapes: x [N, width] → [N, width]; N tokens of all sequences.
/// Source: Vaswani et al. 2017, arXiv 1706.03762; Ainslie et al. 2023, arXiv 2305.13245 (shared keys).
class Attention : public torch::nn::Module {
 public:
  Attention(const AttentionOptions& options, const Rng& rng, bool drawn);
  at::Tensor forward(const at::Tensor& x, const SequenceRows& rows, int64_t layer) const;
  const Rotary& rotary() const { return rotary_; }
  /// The matrices in codes. Errors: as Projection::hold.
  void hold(int64_t bits, int64_t group);

 private:
  /// Whether all texts begin here and are of one length: batches of a training.
  static bool alike(const SequenceRows& rows);
  at::Tensor together(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                      const SequenceRows& rows) const;
  at::Tensor apart(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const SequenceRows& rows,
                   int64_t layer) const;
  at::Tensor normed(const at::Tensor& x, const TokenNorm* norm, int64_t heads) const;

  AttentionOptions options_;
  Rotary rotary_;
  std::shared_ptr<Projection> query_, key_, value_, output_;
  std::shared_ptr<TokenNorm> query_norm_, key_norm_;
  at::Tensor sinks_;
};

}  // namespace gw::inline language
