#pragma once
// GGUF files: metadata and tensors of llama.cpp.
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gatewright/base/json.h"
#include "gatewright/language/checkpoint/config.h"
#include "gatewright/language/checkpoint/gguf_blocks.h"
#include "gatewright/language/checkpoint/source.h"

namespace gw::inline language {

struct GgufTensor {
  std::vector<int64_t> shape;  ///< outermost first, as libtorch has it: the reverse of the file's
  const GgufType* type;
  uint64_t offset, bytes;  ///< in the whole file
};

struct GgufHeader {
  Json metadata;  ///< an object; arrays as lists
  std::map<std::string, GgufTensor> tensors;
};

/// Reads versions 2 and 3. Hostile files are expected: every length is checked against the bytes present
/// before anything is allocated.
/// Errors: ValueError naming the file, what was expected and what was found.
GgufHeader parse_gguf(std::string_view bytes, const std::string& name);

/// The tensors of a file under Hugging Face's names, and its metadata as a config.json. Architectures: llama
/// (with experts: mixtral), qwen2, qwen2moe, qwen3moe, olmoe, granitemoe, gpt-oss.
struct GgufModel {
  std::shared_ptr<TensorSource> tensors;
  ModelConfig config;
  Json metadata;
};
/// Errors: IoError; ValueError as parse_gguf, and for other architectures.
GgufModel open_gguf(const std::string& path);

/// What llama.cpp calls a family, and how it holds it.
struct GgufArchitecture {
  const char *theirs, *family;
  bool interleaved;  ///< rows of queries and keys are reordered to neighbours
};
/// Of the family of a model; null for families that it does not hold here. Mistral and Mixtral are llama's.
const GgufArchitecture* gguf_architecture(const std::string& family);
/// The config.json that a file's metadata stand for. Errors: ValueError for other architectures.
ModelConfig gguf_config(const GgufHeader& header, const std::string& name);

/// Whether the file begins as a GGUF file does. False for what cannot be read.
bool is_gguf(const std::string& path);

}  // namespace gw::inline language
