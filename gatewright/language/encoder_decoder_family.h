#pragma once
// Published families of models that read one text and write another.
#include "gatewright/language/checkpoint/binding.h"
#include "gatewright/language/checkpoint/config.h"
#include "gatewright/language/encoder_decoder.h"

namespace gw::inline language {

/// Catalogue `gatewright/language/encoder_decoder_families/`, by the `model_type` of config.json.
class EncoderDecoderFamily {
 public:
  static constexpr const char* kKind = "encoder_decoder_families";
  struct Context {};
  virtual ~EncoderDecoderFamily() = default;
  /// Errors: ValueError naming the key.
  virtual EncoderDecoderOptions options(const ModelConfig& config) const = 0;
  /// Where the parameters of an EncoderDecoder come from.
  virtual std::vector<Binding> bindings(const EncoderDecoderOptions& options) const = 0;
  /// Prefixes and suffixes of tensors that this model does not need.
  virtual std::vector<std::string> ignored(const EncoderDecoderOptions& options) const = 0;
};

}  // namespace gw::inline language
