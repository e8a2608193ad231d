#pragma once
// Attention whose queries and outputs are experts.
#include "gatewright/language/blocks/projection.h"
#include "gatewright/language/blocks/sequence_rows.h"
#include "gatewright/mixture/router.h"

namespace gw::inline language {

/// Experts of attention; `experts` 0: attention without them.
struct AttentionExperts : OptionSet {
  int64_t experts = 0;
  PartChoice gate = "linear", policy = {"top_k_softmax", {{"k", 2}}};
  std::vector<PartChoice> balancers;
  bool output_bias = false, heads = false;
  void fields(OptionVisitor& v) override;
};

struct MixedAttentionOptions {
  int64_t width = 0, heads = 0, head_width = 0;  ///< heads of one expert, and of keys and values
  double scale = 0;                              ///< of scores; 0: 1/√head_width
  RotaryOptions rotary;
  AttentionExperts experts;
  std::string site;  ///< what its decisions are recorded under
  bool rotated = true;
};

/// A mixture of attention heads: an expert is a pair of projections, of queries and of what its heads answer;
/// keys and values are the same for all.
/// Math:   y_t = Σ_{e chosen by t} weight_te · Wo_e · attend(rotated Wq_e x_t, K, V) (+ b), K and V of the
///         text's tokens.
/// Shapes: x [N, width] → [N, width]; wq [E, heads·head_width, width], wo [E, width, heads·head_width].
/// Errors: ValueError unless every token has the same number of experts.
/// Cost:   a token reads its experts' projections, and attends once for each of them.
/// Source: Zhang et al. 2022, arXiv 2210.05144; Shen et al. 2024, arXiv 2404.07413.
class MixedAttention : public AttentionBlock {
 public:
  MixedAttention(const MixedAttentionOptions& options, const Rng& rng, bool drawn);
  at::Tensor forward(const at::Tensor& x, const SequenceRows& rows, int64_t layer,
                     Decisions& decisions) override;
  const Rotary& rotary() const override { return rotary_; }
  void hold(int64_t bits, int64_t group) override;
  int64_t held_bytes() const override;
  void end_step() override { router_.end_step(); }

 private:
  using Held = std::vector<ops::DenseWeight>;

  MixedAttentionOptions options_;
  Rotary rotary_;
  Router router_;
  std::shared_ptr<Projection> key_, value_;
  at::Tensor query_, output_, bias_;
  Held held_query_, held_output_;
};

}  // namespace gw::inline language
