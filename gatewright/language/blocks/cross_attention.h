#pragma once
// Attention of a text over what an encoder read.
#include "gatewright/language/blocks/projection.h"
#include "gatewright/language/blocks/sequence_rows.h"

namespace gw::inline language {

struct CrossOptions {
  int64_t width = 0, heads = 0, key_heads = 0, head_width = 0;
  bool query_bias = false, output_bias = false;  ///< query_bias: of keys and values too
  double scale = 0;                              ///< of scores; 0: 1/√head_width
};

/// Math:   q = x·Wqᵀ, k, v = s·Wᵀ of the source's tokens s (+ b); y = attend(q, k, v)·Woᵀ (+ b) over all of
///         them, whatever their place.
/// Shapes: x [N, width] → [N, width].
/// Source: Vaswani et al. 2017, arXiv 1706.03762, section 3.2.3.
class CrossAttention : public torch::nn::Module {
 public:
  /// Errors: ValueError unless key_heads divides heads.
  CrossAttention(const CrossOptions& options, const Rng& rng, bool drawn);
  /// Of a source [M, width], once for all of the text that is written about it.
  KeyValueRows keys(const at::Tensor& source) const;
  /// `layer`: which of the source's keys and values. Errors: ValueError for rows without a source.
  at::Tensor forward(const at::Tensor& x, const SequenceRows& rows, int64_t layer) const;
  /// The matrices in codes. Errors: as Projection::hold.
  void hold(int64_t bits, int64_t group);

 private:
  CrossOptions options_;
  std::shared_ptr<Projection> query_, key_, value_, output_;
};

}  // namespace gw::inline language
