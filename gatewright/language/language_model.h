#pragma once
// Models that people have: a folder or a file in, a decoder out.
#include <functional>
#include <memory>
#include <string>

#include "gatewright/language/opened_model.h"

namespace gw::inline language {

struct LoadOptions {
  /// file: as the file has them (f16 as f32), codes expanded to the type beside them; keep: the same, but
  /// experts and projections of FP8 and MXFP4 multiply from the file's codes, which stay mapped, and those in
  /// GGUF's blocks (embeddings and head too) from the same codes in the order of the kernels; f32, bf16; int8
  /// and int4: all matrices in codes, the head in 8 bits in either case.
  std::string weights = "file";
  int64_t group = 64;  ///< of int8 and int4: inputs that share a scale, a multiple of 64; 0: a row, or 128
  /// What a caller adds to what the files say: balance losses, say; nothing that would make it another model.
  std::function<void(DecoderOptions&)> change = {};
};

/// The type that weights asked for like this have, where `in_file` says what those of the file have; checks
/// the word. Errors: ValueError for another one.
at::ScalarType loaded_as(const std::string& weights, at::ScalarType in_file);
/// Whether these weights are held in codes.
bool in_codes(const std::string& weights);

struct LanguageModel {
  std::shared_ptr<Decoder> decoder;  ///< in evaluation mode, without gradients
  std::string family, where;
  Json config;
  Json metadata;  ///< of a GGUF file, its vocabulary among it; null otherwise
  LoadReport report;
};

/// Loads a model of a family of gatewright/language/families from a folder as Hugging Face writes it
/// (config.json and safetensors, whole or in shards), or from a GGUF file.
/// Errors: IoError; ValueError for an unknown family (with the near miss), a config that lacks a key, tensors
///         that do not fit it (gatewright/language/checkpoint/binding.h).
/// Cost:   a reading of what is copied; weights in the file's type and order stay mapped.
LanguageModel load_language_model(const std::string& path, const LoadOptions& options = {});

/// Where the parameters of a layer lie in files.
std::vector<Binding> layer_bindings(const LanguageModel& model, int64_t layer);

}  // namespace gw::inline language
