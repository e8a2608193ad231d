#pragma once
// Texts that go on, and how well a model expects a text.
#include <functional>
#include <string>
#include <vector>

#include "gatewright/base/stop.h"
#include "gatewright/language/encoder_decoder_model.h"
#include "gatewright/language/language_model.h"
#include "gatewright/language/sampling.h"

namespace gw::inline language {

struct GenerateOptions {
  SamplingOptions sampling;
  int64_t most = 128;               ///< tokens to add
  std::vector<int32_t> ends;        ///< tokens after which nothing comes; they are not passed on
  int64_t chunk = 512;              ///< tokens of the prompt that are read at once
  std::vector<int32_t> begin = {};  ///< of a model with an encoder: what its text begins with, a language say
};

/// What is passed on for each new token.
struct NewToken {
  int32_t id = 0;
  std::vector<SitedPlan> plans;  ///< of the pass that chose it: the last row is the token before it
};

struct GenerateReport {
  int64_t prompt = 0, added = 0;
  double prompt_s = 0, first_s = 0, rest_s = 0;  ///< reading the prompt, first token included; the others
  std::string ended;                             ///< "end", "most", "stop": by the callback
};

/// Reads the prompt and adds tokens one by one.
/// `next` gets each of them and answers whether to go on. `state`: a text that goes on, and how it ended;
/// null: a fresh one. `now`: seconds, of any clock.
/// Errors: ValueError for an empty prompt without a state; Interrupted when `stop` asks.
GenerateReport generate(Decoder& decoder, const std::vector<int32_t>& prompt, const GenerateOptions& options,
                        const std::function<bool(const NewToken&)>& next, const std::function<double()>& now,
                        const Stop& stop = {}, DecoderState* state = nullptr);

/// Reads `source` with the encoder, whole, and writes a text about it, token by token. The report counts the
/// source's tokens as the prompt.
/// Errors: ValueError for an empty source; Interrupted when `stop` asks.
GenerateReport generate(EncoderDecoder& network, const std::vector<int32_t>& source,
                        const GenerateOptions& options, const std::function<bool(const NewToken&)>& next,
                        const std::function<double()>& now, const Stop& stop = {});

struct Perplexity {
  double value = 0, deviation = 0;  ///< and the standard error of its logarithm times it
  int64_t scored = 0, chunks = 0;
};

/// exp of the mean loss of the second half of each chunk of `context` tokens, given what stands before in the
/// chunk: what llama.cpp's perplexity reports, so that both can be compared. `bos` ≥ 0 takes the place of a
/// chunk's first token.
/// Errors: ValueError for fewer than two chunks.
/// Cost:   a pass over all tokens.
Perplexity perplexity(Decoder& decoder, const std::vector<int32_t>& ids, int64_t context, int32_t bos,
                      const Tick& tick = {});

/// A text and what it is about.
struct TextPair {
  std::vector<int32_t> source, text;
};

/// The same of texts about their sources: every token of a text is scored, given its source, `begin` and what
/// stands before it. `chunks` counts the texts.
/// Errors: ValueError for no pairs, and naming the pair for an empty source or text.
/// Cost:   a pass over all tokens, one pair at a time.
Perplexity perplexity(EncoderDecoder& network, const std::vector<TextPair>& pairs,
                      const std::vector<int32_t>& begin, const Tick& tick = {});

}  // namespace gw::inline language
