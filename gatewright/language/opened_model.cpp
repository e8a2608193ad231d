#include "gatewright/language/opened_model.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/base/shown.h"
#include "gatewright/language/checkpoint/gguf.h"
#include "gatewright/language/encoder_decoder_family.h"

namespace gw::inline language {
namespace {

namespace fs = std::filesystem;

OpenedModel opened(GgufModel gguf) {
  return {std::move(gguf.config), std::move(gguf.tensors), std::move(gguf.metadata), "", nullptr, {}};
}

}  // namespace

std::string type_named(const ModelConfig& config) {
  auto type = config.text("model_type");
  std::replace(type.begin(), type.end(), '-', '_');
  return type;
}

std::string family_named(const ModelConfig& config, const char* catalogue) {
  const auto type = type_named(config);
  std::vector<std::string> known;
  for (const auto& part : Registry::instance().list(catalogue)) {
    if (part.name == type) return type;
    known.push_back(part.name);
  }
  const auto others = Registry::instance().list(EncoderDecoderFamily::kKind);
  const bool other =
      std::any_of(others.begin(), others.end(), [&](const PartInfo& part) { return part.name == type; });
  GW_CHECK(!other,
           "{}: expected a model that goes on with a text, got {}, which reads one text and writes another: "
           "gatewright run, convert, inspect and perplexity --source take it",
           config.where(), shown(type));
  fail("{}: unknown model_type \"{}\"{}; gatewright list {} shows those that can be loaded", config.where(),
       shown(type), near_miss(type, known), catalogue);
}

double described_values(const DecoderOptions& o) {
  const auto real = [](int64_t n) { return static_cast<double>(n); };
  const auto rows_of = [&](const char* bank) {
    if (!o.mixture.json().contains(bank)) return 0.0;
    const auto& options = o.mixture.json()[bank];
    return (options.value("glu", false) ? 3 : 2) * real(options.value("hidden", int64_t{0}));
  };
  double sum = real(o.vocabulary) * real(o.width);
  if (o.positions == "learned") sum += real(o.context) * real(o.width);
  if (o.positions == "relative") sum += real(o.relative_buckets) * real(o.heads);
  const double attention = o.latent > 0 ? real(o.latent) * real(o.heads) * real(o.still_width + o.value_width)
                                        : 2 * real(o.width) * real(o.heads) * real(o.head_width);
  for (int64_t i = 0; i < o.depth; ++i) {
    const double rows = o.routed(i) ? real(o.experts()) * rows_of("bank") + rows_of("shared_bank")
                                    : (o.gated ? 3 : 2) * real(o.hidden);
    sum += attention + real(o.width) * rows;
  }
  return sum;
}

void check_described(double described, const TensorSource& source) {
  const double held = source.values();
  GW_CHECK(described <= 1.01 * held + 1e6,
           "{}: expected the tensors that the config describes, at least {:.4g} values, got files with "
           "{:.4g}; files "
           "are missing or the config is another model's",
           source.where(), described, held);
}

std::shared_ptr<TensorSource> open_tensors(const std::string& path, const ModelConfig& config) {
  auto files = open_safetensors(path);
  if (!config.has("quantization_config")) return files;
  const auto how = config.table("quantization_config");  // how large the blocks are that share a scale
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

ModelConfig read_model_config(const std::string& path) {
  return read_config_file((fs::path(path) / "config.json").string());
}

OpenedModel open_language_model(const std::string& path) {
  const bool folder = fs::is_directory(path) || !is_gguf(path);
  auto model = folder ? OpenedModel{read_model_config(path), nullptr, Json(), "", nullptr, {}}
                      : opened(open_gguf(path));
  if (folder) model.tensors = open_tensors(path, model.config);
  model.family = family_named(model.config, LanguageFamily::kKind);
  model.part = make_family(model.family);
  model.options = model.part->options(model.config);
  if (!model.tensors->has("lm_head.weight")) model.options.tied = true;
  check_described(described_values(model.options), *model.tensors);
  return model;
}

at::ScalarType file_type(const OpenedModel& model) {
  auto all = outer_bindings(model.options);
  for (int64_t i = 0; i < model.options.depth; ++i) {
    const auto more = model.part->layer(model.options, i);
    all.insert(all.end(), more.begin(), more.end());
  }
  return file_type(all, *model.tensors);
}

at::ScalarType file_type(const std::vector<Binding>& all, const TensorSource& tensors) {
  std::set<at::ScalarType> types;
  for (const auto& binding : all) {
    if (binding.exact) continue;
    for (const auto& piece : way_in(tensors, binding)) {
      const auto info = tensors.info(piece.tensor);
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
