#pragma once
// A decoder as the folder that transformers loads.
#include <string>

#include "gatewright/base/stop.h"
#include "gatewright/language/encoder_decoder_model.h"
#include "gatewright/language/language_model.h"

namespace gw::inline language {

struct SaveOptions {
  std::string type = "file";                     ///< f32, bf16; file: as the model has it
  int64_t shard_bytes = int64_t{5'000'000'000};  ///< of a file at most, but for larger tensors
};

/// Writes config.json, the tensors under the family's published names (a tensor for each expert where the
/// family has that), in shards with an index where one file is not enough. `from`: a folder whose tokenizer
/// files are copied as they are; a GGUF file has none. Rows of queries and keys that llama.cpp reordered go
/// back to their place.
/// Errors: ValueError for a folder that is not empty, and for matrices in codes; IoError. Files are written
///         one by one, each whole or not at all, config.json last: a folder without it is not a model.
/// Cost:   a writing of all tensors; memory for one shard.
void save_language_model(const LanguageModel& model, const std::string& folder,
                         const SaveOptions& options = {}, const Tick& tick = {});

/// The same of a model that reads one text and writes another. Memory: a shard, and views of all tensors.
void save_encoder_decoder(const EncoderDecoderModel& model, const std::string& folder,
                          const SaveOptions& options = {});

}  // namespace gw::inline language
