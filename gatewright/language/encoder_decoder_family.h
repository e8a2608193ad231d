#pragma once
// Published families of models that read one text and write another.
#include <algorithm>
#include <string>
#include <vector>

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
  /// The config.json of a network that was trained here, from which `options` makes it again. Errors:
  /// ValueError naming the option that the family cannot say.
  virtual Json config_of(const EncoderDecoderOptions& options) const;

 protected:
  /// Errors: ValueError naming an option of a trained stack that is another one in what the config says.
  static void check_said(const char* side, const DecoderOptions& trained, const DecoderOptions& said);
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
  /// A tensor of a layer's perceptron as its bank `name` holds it, of each expert "experts.expert_{e}." +
  /// `tensor`, or dense `tensor`, of this shape with a leading 1.
  static void add_bank_tensor(std::vector<Binding>& all, const std::string& own, const std::string& theirs,
                              const char* name, const char* tensor, const std::vector<int64_t>& shape,
                              int64_t experts) {
    std::vector<Piece> pieces;
    for (int64_t e = 0; e < std::max<int64_t>(experts, 1); ++e) {
      Piece piece{experts > 0 ? theirs + "experts.expert_" + std::to_string(e) + "." + tensor
                              : theirs + tensor};
      if (experts > 0)
        piece.expert = e;
      else
        piece.shape = shape;
      pieces.push_back(piece);
    }
    all.push_back({own + (experts > 0 ? "mixture.bank." : "dense.") + name, {pieces}});
  }
  /// The router of a layer's mixture, with its bias where `options` has one.
  static void add_router(std::vector<Binding>& all, const std::string& own, const std::string& theirs,
                         const DecoderOptions& options) {
    all.push_back({own + "mixture.gate.weight", {{Piece{theirs + "router.classifier.weight"}}}, true});
    if (options.mixture.json()["gate"]["bias"].get<bool>())
      all.push_back({own + "mixture.gate.bias", {{Piece{theirs + "router.classifier.bias"}}}, true});
  }
};

}  // namespace gw::inline language
