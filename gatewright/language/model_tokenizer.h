#pragma once
// The tokenizer that comes with a model.
#include <string>
#include <vector>

#include "gatewright/language/language_model.h"
#include "gatewright/text/tokenizer.h"

namespace gw::inline language {

struct ModelTokenizer {
  Tokenizer tokenizer;
  std::vector<int32_t> ends;  ///< tokens that end a text: of config, generation_config and vocabulary
  std::string chat_template;  ///< as the files give it; empty: none
};

/// From a GGUF file's metadata, or from the files of a folder: tokenizer.json, tokenizer.model or
/// tekken.json, with generation_config.json, tokenizer_config.json and chat_template.jinja where they are.
/// Errors: IoError and ValueError as Tokenizer::from_file; ValueError naming the key for metadata without a
///         vocabulary.
ModelTokenizer load_model_tokenizer(const std::string& path);

/// The same of a model that is loaded: a GGUF file's metadata, tens of thousands of tokens, are not read
/// again.
ModelTokenizer load_model_tokenizer(const LanguageModel& model);

/// A model by a path, or by a name below the folder of models: $GATEWRIGHT_MODELS, else ~/gatewright-models.
/// A folder that holds one GGUF file and no config.json stands for it.
/// Errors: ValueError that says where was looked, with the near miss.
std::string find_model(const std::string& name);

}  // namespace gw::inline language
