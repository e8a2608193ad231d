#include "gatewright/language/opened_model.h"

#include <filesystem>
#include <set>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/base/shown.h"
#include "gatewright/language/checkpoint/gguf.h"

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

/// Files of few bits say in their config how large the blocks are that share a scale.
std::shared_ptr<TensorSource> opened_tensors(const std::string& path, const ModelConfig& config) {
  auto files = open_safetensors(path);
  if (!config.has("quantization_config")) return files;
  const auto how = config.table("quantization_config");
  const auto method = how.text("quant_method", "");
  GW_CHECK(method == "fp8" || method == "mxfp4",
           "{}: expected quant_method fp8 or mxfp4, got \"{}\"; take the publication in bf16, or a GGUF file",
           how.where(), shown(method));
  ScaledSizes sizes;
  if (const auto own = how.reals("weight_block_size"); !own.empty()) {
    GW_CHECK(own.size() == 2 && own[0] >= 1 && own[1] >= 1 && own[0] <= 1 << 20 && own[1] <= 1 << 20,
             "{}: expected weight_block_size to be two sizes, got {} values", how.where(), own.size());
    sizes = {static_cast<int64_t>(own[0]), static_cast<int64_t>(own[1])};
  }
  return with_scales(std::move(files), sizes);
}

OpenedModel opened(GgufModel gguf) {
  return {std::move(gguf.config), std::move(gguf.tensors), std::move(gguf.metadata), "", nullptr, {}};
}

}  // namespace

ModelConfig read_model_config(const std::string& path) {
  return read_config_file((fs::path(path) / "config.json").string());
}

OpenedModel open_language_model(const std::string& path) {
  const bool folder = fs::is_directory(path) || !is_gguf(path);
  auto model = folder ? OpenedModel{read_model_config(path), nullptr, Json(), "", nullptr, {}}
                      : opened(open_gguf(path));
  if (folder) model.tensors = opened_tensors(path, model.config);
  model.family = family_of(model.config);
  model.part = make_family(model.family);
  model.options = model.part->options(model.config);
  if (!model.tensors->has("lm_head.weight")) model.options.tied = true;
  check_described(model.options, *model.tensors);
  return model;
}

at::ScalarType file_type(const OpenedModel& model) {
  auto all = outer_bindings(model.options);
  for (int64_t i = 0; i < model.options.depth; ++i) {
    const auto more = model.part->layer(model.options, i);
    all.insert(all.end(), more.begin(), more.end());
  }
  std::set<at::ScalarType> types;
  for (const auto& binding : all) {
    if (binding.exact) continue;
    for (const auto& piece : way_in(*model.tensors, binding)) {
      const auto info = model.tensors->info(piece.tensor);
      const bool follows =
          piece.vector || info.shape.size() < 2 || info.type == "F8_E4M3" || info.type == "MXFP4";
      if (!follows) types.insert(loaded_type(binding, info.expanded, at::ScalarType::Undefined));
    }
  }
  return types.size() == 1 ? *types.begin() : at::kFloat;
}

std::vector<Binding> outer_bindings(const DecoderOptions& o) {
  std::vector<Binding> all{{"embedding", {{Piece{"model.embed_tokens.weight"}}}},
                           {"norm.weight", {{Piece{"model.norm.weight"}}}}};
  if (o.centred_norm) all.push_back({"norm.bias", {{Piece{"model.norm.bias"}}}});
  if (!o.tied) all.push_back({"head.weight", {{Piece{"lm_head.weight"}}}});
  if (o.head_bias) all.push_back({"head.bias", {{Piece{"lm_head.bias"}}}});
  return all;
}

}  // namespace gw::inline language
