#pragma once
// The vocabulary inside a GGUF file (tokenizer.ggml.*), as plain values.
#include <cstdint>
#include <string>
#include <vector>

namespace gw::inline text {

struct GgufVocabulary {
  std::string model;                ///< "gpt2" (byte-level) or "llama" (SentencePiece)
  std::string pre = "default";      ///< which patterns cut the text; of "gpt2" alone
  std::vector<std::string> tokens;  ///< by id
  std::vector<float> scores;        ///< of "llama": the higher merges first
  std::vector<int32_t>
      token_types;  ///< 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte; or empty
  std::vector<std::string> merges;           ///< of "gpt2": "a b", the first merges first
  int32_t bos = -1, eos = -1, unknown = -1;  ///< -1: none
  bool add_bos = false;
  bool add_eos = false;
  bool add_space_prefix = true;  ///< of "llama"
};

/// The names of `pre` that from_gguf knows, sorted.
std::vector<std::string> gguf_pre_tokenizers();

}  // namespace gw::inline text
