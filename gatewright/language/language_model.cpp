#include "gatewright/language/language_model.h"

#include <ATen/ATen.h>

#include <filesystem>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/base/shown.h"
#include "gatewright/language/checkpoint/gguf.h"
#include "gatewright/language/family.h"

namespace gw::inline language {
namespace {

namespace fs = std::filesystem;

/// qwen3 is qwen3_moe without experts, say: types of config.json that a family answers for.
std::string family_of(const ModelConfig& config) {
  const auto type = config.text("model_type");
  std::vector<std::string> known;
  for (const auto& part : Registry::instance().list(LanguageFamily::kKind)) {
    if (part.name == type) return type;
    known.push_back(part.name);
  }
  fail("{}: unknown model_type \"{}\"{}; gatewright list language_families shows those that can be loaded",
       config.where(), shown(type), near_miss(type, known));
}

bool rounds(const std::string& weights) { return weights == "int8" || weights == "int4"; }

at::ScalarType type_of(const std::string& weights) {
  if (weights == "file") return at::ScalarType::Undefined;
  return weights == "bf16" ? at::kBFloat16 : at::kFloat;
}

}  // namespace

std::vector<Binding> outer_bindings(const DecoderOptions& o) {
  std::vector<Binding> all{{"embedding", {{Piece{"model.embed_tokens.weight"}}}},
                           {"norm.weight", {{Piece{"model.norm.weight"}}}}};
  if (o.centred_norm) all.push_back({"norm.bias", {{Piece{"model.norm.bias"}}}});
  if (!o.tied) all.push_back({"head.weight", {{Piece{"lm_head.weight"}}}});
  if (o.head_bias) all.push_back({"head.bias", {{Piece{"lm_head.bias"}}}});
  return all;
}

std::vector<Binding> layer_bindings(const LanguageModel& model, int64_t layer) {
  return make_family(model.family)->layer(model.decoder->options(), layer);
}

ModelConfig read_model_config(const std::string& path) {
  return read_config_file((fs::path(path) / "config.json").string());
}

namespace {

struct Opened {
  ModelConfig config;
  std::shared_ptr<TensorSource> tensors;
  Json metadata;
};

Opened open_model(const std::string& path) {
  if (fs::is_directory(path) || !is_gguf(path))
    return {read_model_config(path), open_safetensors(path), Json()};
  auto gguf = open_gguf(path);
  return {gguf.config, gguf.tensors, gguf.metadata};
}

void check_weights(const std::string& weights) {
  const bool known = weights == "file" || weights == "f32" || weights == "bf16" || rounds(weights);
  GW_CHECK(known, "language model: expected weights file, f32, bf16, int8 or int4, got \"{}\"",
           shown(weights));
}

}  // namespace

namespace {

/// The large matrices that a config describes, at least: what would be allocated.
double described_values(const DecoderOptions& o) {
  const auto real = [](int64_t n) { return static_cast<double>(n); };
  const auto hidden_of = [&](const char* bank) {
    return o.mixture.json().contains(bank) ? real(o.mixture.json()[bank].value("hidden", int64_t{0})) : 0.0;
  };
  double sum = real(o.vocabulary) * real(o.width);
  const double attention = o.latent > 0 ? real(o.latent) * real(o.heads) * real(o.still_width + o.value_width)
                                        : 2 * real(o.width) * real(o.heads) * real(o.head_width);
  for (int64_t i = 0; i < o.depth; ++i) {
    const double hidden =
        o.routed(i) ? real(o.experts()) * hidden_of("bank") + hidden_of("shared_bank") : real(o.hidden);
    sum += attention + 3 * real(o.width) * hidden;
  }
  return sum;
}

/// A config from strangers may ask for any size: it must not exceed what the files hold.
void check_described(const DecoderOptions& o, const TensorSource& source) {
  const double described = described_values(o), held = source.values();
  GW_CHECK(described <= 1.01 * held + 1e6,
           "{}: expected the tensors that the config describes, at least {:.4g} values, got files with "
           "{:.4g}; files "
           "are missing or the config is another model's",
           source.where(), described, held);
}

}  // namespace

LanguageModel load_language_model(const std::string& path, const LoadOptions& load) {
  check_weights(load.weights);
  const at::NoGradGuard no_grad;
  const auto opened = open_model(path);
  const auto name = family_of(opened.config);
  const auto family = make_family(name);
  auto options = family->options(opened.config);
  if (!opened.tensors->has("lm_head.weight")) options.tied = true;
  check_described(options, *opened.tensors);
  LanguageModel out{
      std::make_shared<Decoder>(options), name, path, opened.config.json(), opened.metadata, {}};
  ParameterLoader loader(*out.decoder, *opened.tensors, type_of(load.weights));
  loader.load(outer_bindings(options));
  for (size_t i = 0; i < out.decoder->layers().size(); ++i) {
    loader.load(family->layer(options, static_cast<int64_t>(i)));
    if (rounds(load.weights)) out.decoder->layers()[i]->hold(load.weights, load.group);
  }
  if (rounds(load.weights)) out.decoder->hold_head("int8", 0);
  auto ignored = family->ignored(options);
  if (options.tied) ignored.push_back("lm_head.weight");
  out.report = loader.finish(ignored);
  for (auto& parameter : out.decoder->parameters()) parameter.set_requires_grad(false);
  out.decoder->eval();
  return out;
}

}  // namespace gw::inline language
