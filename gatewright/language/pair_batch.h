#pragma once
// Batches of sources and texts through an encoder and a decoder, as the training loop asks for them.
#include "gatewright/language/encoder_decoder.h"
#include "gatewright/models/model.h"

namespace gw::inline language {

/// Texts of several lengths without what is behind their ends.
struct PackedTexts {
  at::Tensor id;                 ///< [N] int64, one text after the other
  at::Tensor place;              ///< [N] int64, of each token among the B·T of the batch
  std::vector<int64_t> lengths;  ///< of each text
};

/// The tokens of a field [B, T] int64 that has kNoToken behind each text's end.
/// Errors: ValueError naming `part` and the field for another form, for texts without a token, and for tokens
///         after an end.
PackedTexts packed_texts(const char* part, const char* field, const at::Tensor& token);

/// Answers [B, T, vocabulary] for the fields "source_token" [B, S] and "token" [B, T]; zero behind the end of
/// a text. What is behind an end reaches no router and takes no room of an expert.
/// Errors: ValueError naming `part` for fields of another form.
Output answer_pairs(const char* part, EncoderDecoder& network, const Batch& batch, const Pass& pass);

/// `count` drawn sources and texts, as long as the data have them.
Batch pair_example(const DataSpec& data, int64_t count, const Rng& rng);

}  // namespace gw::inline language
