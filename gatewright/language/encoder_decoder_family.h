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

 protected:
  /// Embeddings and head under their usual names. transformers 5 ties nothing where the head is not tied: the
  /// encoder's and the decoder's embeddings are then tensors of their own, and the shared ones are not used.
  static std::vector<Binding> outer(const EncoderDecoderOptions& o, const std::string& prefix) {
    const Piece shared{prefix + "shared.weight"}, reads{prefix + "encoder.embed_tokens.weight"},
        writes{prefix + "decoder.embed_tokens.weight"};
    std::vector<Binding> all;
    if (o.apart) {
      all.push_back({"decoder.embedding", {{writes}, {shared}}});
      all.push_back({"encoder_embedding", {{reads}, {shared}}});
    } else {
      all.push_back({"decoder.embedding", {{shared}, {reads}, {writes}}});
    }
    if (!o.decoder.tied) all.push_back({"decoder.head.weight", {{Piece{"lm_head.weight"}}}});
    return all;
  }
  static std::vector<std::string> outer_ignored(const EncoderDecoderOptions& o, const std::string& prefix) {
    std::vector<std::string> names{prefix + "shared.weight", prefix + "encoder.embed_tokens.weight",
                                   prefix + "decoder.embed_tokens.weight"};
    if (o.decoder.tied) names.push_back("lm_head.weight");
    return names;
  }
};

}  // namespace gw::inline language
