#pragma once
// Attention whose keys and values come from one narrow vector.
#include "gatewright/language/blocks/norms.h"
#include "gatewright/language/blocks/projection.h"
#include "gatewright/language/blocks/sequence_rows.h"

namespace gw::inline language {

struct LatentOptions {
  int64_t width = 0, heads = 0;
  int64_t query_latent = 0;  ///< width of the queries' narrow vector; 0: none, straight from the token
  int64_t latent = 0;        ///< of keys and values
  int64_t still = 0, turned = 0,
          value = 0;  ///< of a head: values without rotation, with it, and of its answer
  bool bias = false;
  RotaryOptions rotary;
};

/// Math:   c = norm(x·Wcᵀ), k_still and v = c·Wᵀ by head, k_turned = rotated x·Wrᵀ, one for all heads;
/// queries
///         likewise, with a narrow vector of their own or none; scores scaled by 1/√(still + turned) times
///         Rotary::score_scale().
/// Memory: what a text remembers is held by head, not as c: simple, and as large as plain attention's.
/// Source: DeepSeek-AI 2024, arXiv 2405.04434, section 2.1.
class LatentAttention : public AttentionBlock {
 public:
  LatentAttention(const LatentOptions& options, const Rng& rng, bool drawn);
  at::Tensor forward(const at::Tensor& x, const SequenceRows& rows, int64_t layer, Decisions&) override;
  const Rotary& rotary() const override { return rotary_; }
  void hold(int64_t bits, int64_t group) override;

 private:
  at::Tensor queries(const at::Tensor& x, const Rotary::Angles& angles) const;

  LatentOptions options_;
  Rotary rotary_;
  double scale_;
  std::shared_ptr<Projection> query_, query_down_, key_down_, key_up_, output_;
  std::shared_ptr<TokenNorm> query_norm_, key_norm_;
};

}  // namespace gw::inline language
