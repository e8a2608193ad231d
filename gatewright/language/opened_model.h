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

/// The type of the weights where nothing else is asked for: that of the files' matrices, f16 as f32; f32
/// where they have several. Tensors of FP8 and MXFP4 follow the others, as do norms and biases, which some
/// files have in f32 beside bf16.
at::ScalarType file_type(const OpenedModel& model);

/// Where the parameters outside of the layers lie in files.
std::vector<Binding> outer_bindings(const DecoderOptions& options);

/// The config of a folder without its tensors. Errors: IoError, ValueError.
ModelConfig read_model_config(const std::string& path);

}  // namespace gw::inline language
