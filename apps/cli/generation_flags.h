#pragma once
// What the commands that run a language model share: its flags, loading it, and how tokens are shown.
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "gatewright/language/generate.h"
#include "gatewright/language/model_tokenizer.h"

namespace gw {

/// --weights.
void declare_weights(CLI::App& app, LoadOptions& load);

struct ModelFlags {
  std::string model, tokenizer;
  LoadOptions load{"keep", LoadOptions().group, {}};
  void declare(CLI::App& app);
};

struct GenerationFlags {
  GenerateOptions options;
  std::vector<std::string> stops;
  bool json = false, show_routes = false;
  int64_t cache_block = 0;  ///< tokens of a block of keys and values; 0: one piece
  void declare(CLI::App& app);
};

struct LoadedModel {
  LanguageModel model;
  ModelTokenizer text;
};
/// Loads both, and says on standard error what was loaded. Errors: as load_language_model.
LoadedModel load_model(const ModelFlags& flags);

struct LoadedEncoderDecoder {
  EncoderDecoderModel model;
  ModelTokenizer text;
};
/// The same of a model that reads one text and writes another. Errors: as load_encoder_decoder.
LoadedEncoderDecoder load_pair(const ModelFlags& flags, const std::string& path);

/// Writes tokens with these options, and tells of each.
using TokenWriter =
    std::function<GenerateReport(const GenerateOptions&, const std::function<bool(const NewToken&)>&)>;
/// Prints the tokens that come: text, or a line of JSON for each with --json. Returns their text.
std::string stream_tokens(const ModelTokenizer& text, const GenerationFlags& flags, const TokenWriter& write);

/// Adds tokens to a prompt and prints them as they come: text, or a line of JSON for each with --json.
/// Returns what was added.
std::string stream_answer(LoadedModel& loaded, const std::vector<int32_t>& prompt,
                          const GenerationFlags& flags, DecoderState* state);

}  // namespace gw
