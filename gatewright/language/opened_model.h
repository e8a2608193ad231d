#pragma once
// A model's files before its weights are read.
#include <memory>
#include <string>
#include <vector>

#include "gatewright/language/family.h"

namespace gw::inline language {

struct OpenedModel {
  ModelConfig config;
  std::shared_ptr<TensorSource> tensors;
  Json metadata;  ///< of a GGUF file, its vocabulary among it; null otherwise
  std::string family;
  std::shared_ptr<LanguageFamily> part;
  DecoderOptions options;
};

/// Headers of a folder's or file's tensors and what its config means; weights stay where they are.
/// Errors: as load_language_model, but for tensors of other names and shapes.
OpenedModel open_language_model(const std::string& path);

/// What config.json calls its model_type, as parts are named: nllb-moe is nllb_moe. Errors: ValueError.
std::string type_named(const ModelConfig& config);
/// The family of a catalogue that config.json names. Errors: ValueError with the near miss.
std::string family_named(const ModelConfig& config, const char* catalogue);
/// Tensors of a folder or file; those of few bits are expanded as the config says. Errors: as
/// open_safetensors.
std::shared_ptr<TensorSource> open_tensors(const std::string& path, const ModelConfig& config);
/// The values of the large matrices that a config describes, at least.
double described_values(const DecoderOptions& options);
/// A config from strangers may ask for any size. Errors: ValueError where it describes more than the files
/// hold.
void check_described(double described, const TensorSource& source);

/// The type of the weights where nothing else is asked for: that of the files' matrices, f16 as f32; f32
/// where they have several. Tensors of FP8 and MXFP4 follow the others, as do norms and biases, which some
/// files have in f32 beside bf16.
at::ScalarType file_type(const OpenedModel& model);
at::ScalarType file_type(const std::vector<Binding>& bindings, const TensorSource& tensors);

/// Where the parameters outside of the layers lie in files.
std::vector<Binding> outer_bindings(const DecoderOptions& options);

/// The config of a folder without its tensors. Errors: IoError, ValueError.
ModelConfig read_model_config(const std::string& path);

}  // namespace gw::inline language
