#pragma once
// Batches of tokens through a decoder, as the training loop asks for them.
#include "gatewright/language/decoder.h"
#include "gatewright/models/model.h"

namespace gw::inline language {

/// Answers for the fields "token" [B, T] and, where there are several texts in a window, "document" [B, T]:
/// no token sees one of another number, and positions count from a text's first token in the window.
/// Errors: ValueError naming `part` for tokens of another form.
Output answer_tokens(const char* part, Decoder& decoder, const Batch& batch, const Pass& pass);

/// Tokens [shape] int64 below `vocabulary`, all as likely.
at::Tensor drawn_tokens(const Rng& rng, at::IntArrayRef shape, int64_t vocabulary);

/// `count` windows of drawn tokens.
Batch token_example(const DataSpec& data, int64_t count, const Rng& rng);

}  // namespace gw::inline language
