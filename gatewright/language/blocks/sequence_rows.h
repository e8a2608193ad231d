#pragma once
// Attention over sequences that lie one after the other.
#include "gatewright/base/json.h"
#include "gatewright/language/blocks/attend.h"
#include "gatewright/language/blocks/decisions.h"
#include "gatewright/language/blocks/key_value_cache.h"
#include "gatewright/language/blocks/rotary.h"

namespace gw::inline language {

/// Keys and values of tokens, [M, H, d] each.
struct KeyValueRows {
  at::Tensor key, value;
};

/// What an encoder read, as the layers of a decoder see it.
struct SourceRows {
  std::vector<int64_t> lengths;      ///< tokens of each source, one source for each text
  std::vector<KeyValueRows> layers;  ///< of all sources, one after the other
};

/// Where the sequences of a pass lie among its tokens, and what each remembers.
struct SequenceRows {
  std::vector<int64_t> lengths;       ///< tokens of each in this pass
  std::vector<DecoderState*> states;  ///< one for each, or none: texts that begin here and are not continued
  Rotary::Angles angles;              ///< of every token's place in its text
  at::Tensor place = {};  ///< [N] int64, that place, where it is added to the embeddings; else undefined
  const RelativeBias* relative = nullptr;  ///< of layers without rotations
  const SourceRows* source = nullptr;      ///< of layers that look at a source
};

/// q [N, H, d], k [N, G, d] and v [N, G, dv] of all sequences → [N, H·dv]: every sequence sees itself alone,
/// and what its state remembers of `layer`, to which its keys and values are added. Batches of a training,
/// whose texts begin here and have one length, are one call of attend(). Errors: as attend().
at::Tensor attend_rows(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                       const SequenceRows& rows, int64_t layer, const AttendOptions& options);

/// q [N, H, d] of texts of these lengths, each over the keys and values of its own source, all of them.
/// Gives [N, H·dv]. Errors: as attend().
at::Tensor attend_sources(const at::Tensor& q, const std::vector<int64_t>& lengths, const KeyValueRows& rows,
                          const std::vector<int64_t>& source_lengths, const AttendOptions& options);

/// What a layer of a decoder needs of its attention.
class AttentionBlock : public torch::nn::Module {
 public:
  using torch::nn::Module::Module;
  /// x [N, width] → [N, width].
  virtual at::Tensor forward(const at::Tensor& x, const SequenceRows& rows, int64_t layer,
                             Decisions& decisions) = 0;
  /// The matrices in codes. Errors: as Projection::hold.
  virtual void hold(int64_t bits, int64_t group) = 0;
  /// Codes and scales outside of its projections.
  virtual int64_t held_bytes() const { return 0; }
  /// A mixture of adapters beside each of its matrices (gatewright/models/adapted_linear.h), under this site.
  /// Errors: ValueError where a block has no place for them.
  virtual void adapt(const Json& adapters, const Rng& rng, const std::string& site);
  /// After an optimiser step, as Mixture::end_step.
  virtual void end_step() {}
  virtual const Rotary& rotary() const = 0;
};

}  // namespace gw::inline language
