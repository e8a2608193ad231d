// Folders of BERT's form. One family: a second one makes a catalogue of it, as families of decoders are.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/language/opened_model.h"
#include "gatewright/language/text_encoder.h"

namespace gw::inline language {
namespace {

DecoderOptions bert_options(const ModelConfig& c) {
  const auto type = c.text("model_type");
  GW_CHECK(type == "bert", "{}: expected the model_type bert of an encoder, got \"{}\"", c.where(),
           shown(type));
  const auto places = c.text("position_embedding_type", "absolute");
  GW_CHECK(places == "absolute", "{}: expected absolute positions, got \"{}\"", c.where(), shown(places));
  DecoderOptions o;
  o.vocabulary = c.integer("vocab_size", {}, 1, 1 << 24), o.width = c.integer("hidden_size", {}, 1, 1 << 20);
  o.depth = c.integer("num_hidden_layers", {}, 1, 4096);
  o.heads = c.integer("num_attention_heads", {}, 1, 4096);
  o.hidden = c.integer("intermediate_size", {}, 1, 1 << 24);
  o.context = c.integer("max_position_embeddings", {}, 1, 1 << 20);
  o.activation = c.has("hidden_act") ? activation_named(c, "hidden_act") : "gelu";
  o.norm_epsilon = c.real("layer_norm_eps", 1e-12);
  o.gated = false, o.hidden_bias = o.query_bias = o.output_bias = true;
  o.centred_norm = o.norm_after = true, o.positions = "learned", o.drawn = false;
  return o;
}

class BertNames {
 public:
  std::vector<Binding> all;

  /// With and without the prefix that files of whole models have.
  void add(const std::string& own, const std::string& theirs, const std::vector<int64_t>& shape = {}) {
    Piece plain{theirs}, whole{"bert." + theirs};
    plain.shape = whole.shape = shape;
    all.push_back({own, {{plain}, {whole}}});
  }
  void both(const std::string& own, const std::string& theirs) {
    for (const char* part : {"weight", "bias"})
      add(fmt::format("{}.{}", own, part), fmt::format("{}.{}", theirs, part));
  }
};

std::vector<Binding> bert_bindings(const DecoderOptions& o, int64_t kinds) {
  BertNames names;
  names.add("embedding", "embeddings.word_embeddings.weight");
  names.add("places", "embeddings.position_embeddings.weight");
  if (kinds > 0) names.add("kind", "embeddings.token_type_embeddings.weight");
  names.both("norm", "embeddings.LayerNorm");
  for (int64_t i = 0; i < o.depth; ++i) {
    const auto own = fmt::format("layer{}.", i), theirs = fmt::format("encoder.layer.{}.", i);
    for (const char* part : {"query", "key", "value"})
      names.both(own + "attention." + part, theirs + "attention.self." + part);
    names.both(own + "attention.output", theirs + "attention.output.dense");
    names.both(own + "attention_norm", theirs + "attention.output.LayerNorm");
    names.both(own + "norm", theirs + "output.LayerNorm");
    names.add(own + "dense.w1", theirs + "intermediate.dense.weight", {1, o.hidden, o.width});
    names.add(own + "dense.b1", theirs + "intermediate.dense.bias", {1, o.hidden});
    names.add(own + "dense.w2", theirs + "output.dense.weight", {1, o.width, o.hidden});
    names.add(own + "dense.b2", theirs + "output.dense.bias", {1, o.width});
  }
  return names.all;
}

}  // namespace

std::shared_ptr<TextEncoder> load_text_encoder(const std::string& path) {
  const at::NoGradGuard no_grad;
  const auto config = read_model_config(path);
  const auto options = bert_options(config);
  const int64_t kinds = config.integer("type_vocab_size", 2, 0, 1 << 16);
  const auto tensors = open_tensors(path, config);
  check_described(described_values(options), *tensors);
  auto encoder = std::make_shared<TextEncoder>(options, kinds);
  ParameterLoader loader(*encoder, *tensors, at::kFloat);
  loader.load(bert_bindings(options, kinds));
  loader.finish({"pooler.dense.weight", "pooler.dense.bias", "embeddings.position_ids", "cls."});
  for (auto& parameter : encoder->parameters()) {  // those of f32 files are the files' own memory
    parameter.set_data(parameter.detach().clone());
    parameter.set_requires_grad(true);
  }
  return encoder;
}

}  // namespace gw::inline language
