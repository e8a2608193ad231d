#pragma once
// What a language model reads and writes in a second, with nothing else in the clock: no loading, no
// tokenizer, no choice of a token.
#include <string>

#include "gatewright/language/language_model.h"

namespace gw {

struct LanguageBench {
  std::string model;  ///< folder, file or name; empty: none
  LoadOptions load;
  int64_t prompt = 512, tokens = 128;
  int rounds = 5;
};

/// Loads a model, warms it up by one round, and then times `rounds` rounds: a prompt of drawn tokens, read as
/// `generate` reads it, logits of the last one alone; then single tokens, drawn before, from an empty text
/// on. The bandwidth of reading is measured in turns with them. Prints a table or JSON. Answers whether the
/// mark of decoding holds: kReadMark of that bandwidth. Errors: as load_language_model; ValueError for a
/// model with an encoder.
bool bench_language_model(const LanguageBench& asked, bool json);

/// Bytes of the weights that a token reads, a second, over the measured bandwidth of reading: at least.
inline constexpr double kReadMark = 0.80;

}  // namespace gw
