#pragma once
// Models that read one text and write another: a folder in, a network out, and back.
#include <memory>
#include <string>

#include "gatewright/language/encoder_decoder.h"
#include "gatewright/language/language_model.h"

namespace gw::inline language {

class EncoderDecoderFamily;

/// Such a model's files before its weights are read.
struct OpenedEncoderDecoder {
  ModelConfig config;
  std::shared_ptr<TensorSource> tensors;
  std::string family;
  std::shared_ptr<EncoderDecoderFamily> part;
  EncoderDecoderOptions options;
};

struct EncoderDecoderModel {
  std::shared_ptr<EncoderDecoder> network;  ///< in evaluation mode, without gradients
  std::string family, where;
  Json config;
  LoadReport report;
};

/// Whether the path is a folder whose config.json names one of
/// gatewright/language/encoder_decoder_families. Errors: ValueError for a config.json that is not JSON.
bool is_encoder_decoder(const std::string& path);

/// Headers of such a folder's tensors and what its config means; weights stay where they are.
/// Errors: as load_encoder_decoder, but for tensors of other names and shapes.
OpenedEncoderDecoder open_encoder_decoder(const std::string& path);

/// Loads such a folder as Hugging Face writes it (config.json and safetensors, whole or in shards).
/// Errors: as load_language_model.
/// Cost:   a reading of what is copied; weights in the file's type and order stay mapped. With int8 and int4
///         the matrices of the file are in memory before their codes are.
EncoderDecoderModel load_encoder_decoder(const std::string& path, const LoadOptions& options = {});

/// A network that was trained here as a model of that family, with copies of its weights.
/// Errors: ValueError naming an option that the family's config.json cannot say.
EncoderDecoderModel as_published(EncoderDecoder& trained, const std::string& family);

/// Where all its parameters lie in files.
std::vector<Binding> bindings_of(const EncoderDecoderModel& model);

}  // namespace gw::inline language
