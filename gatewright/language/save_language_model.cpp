#include "gatewright/language/save_language_model.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <filesystem>
#include <map>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/language/checkpoint/gguf.h"
#include "gatewright/models/safetensors.h"

namespace gw::inline language {
namespace {

namespace fs = std::filesystem;
using Tensors = std::map<std::string, at::Tensor>;

/// Neighbours (2j, 2j + 1) of each head back to (j, j + width / 2).
at::Tensor unpaired(const at::Tensor& rows, int64_t head_width) {
  auto shape = rows.sizes().vec();
  std::vector<int64_t> split{-1, head_width / 2, 2};
  split.insert(split.end(), shape.begin() + 1, shape.end());
  return rows.reshape(split).transpose(1, 2).reshape(shape);
}

class Collector {
 public:
  /// `paired`: the width of heads whose queries and keys lie in neighbours; 0: they do not.
  Collector(const torch::nn::Module& model, int64_t paired, at::ScalarType type)
      : parameters_(model.named_parameters()),
        buffers_(model.named_buffers()),
        paired_(paired),
        type_(type) {}

  void add(const std::vector<Binding>& bindings) {
    for (const auto& binding : bindings) {
      const auto* found = parameters_.find(binding.parameter);
      if (found == nullptr) found = buffers_.find(binding.parameter);
      GW_ENSURE(found != nullptr, "save: the model has no parameter \"{}\"", binding.parameter);
      GW_CHECK(found->numel() > 0,
               "save: expected weights of f32 or bf16, got codes in \"{}\"; load the model anew",
               binding.parameter);
      for (const auto& piece : binding.ways.front()) place(piece, value_of(binding.parameter, *found));
    }
  }
  Tensors& tensors() { return tensors_; }

 private:
  at::Tensor value_of(const std::string& name, const at::Tensor& t) const {
    const bool rotated = name.find("attention.query.") != std::string::npos ||
                         name.find("attention.key.") != std::string::npos;
    return paired_ > 0 && rotated ? unpaired(t, paired_) : t;
  }

  void place(const Piece& piece, const at::Tensor& parameter) {
    auto value = piece.expert < 0 ? parameter : parameter[piece.expert];
    if (type_ != at::ScalarType::Undefined) value = value.to(type_);
    if (!piece.shape.empty()) value = value.squeeze(0);
    if (piece.parts == 1 && !piece.transposed) {
      tensors_[piece.tensor] = value;
      return;
    }
    auto& whole = tensors_[piece.tensor];
    if (!whole.defined()) {
      auto shape = value.sizes().vec();
      shape[shape.size() - (piece.vector ? 1 : 2)] *= piece.parts;
      if (piece.transposed) std::swap(shape[shape.size() - 1], shape[shape.size() - 2]);
      whole = at::empty(shape, value.options());
    }
    piece.of(whole).copy_(value);
  }

  torch::OrderedDict<std::string, at::Tensor> parameters_, buffers_;
  int64_t paired_;
  at::ScalarType type_;
  Tensors tensors_;
};

class ShardWriter {
 public:
  ShardWriter(std::string folder, int64_t most) : folder_(std::move(folder)), most_(most) {}

  void take(Tensors& tensors, bool last) {
    for (auto& [name, tensor] : tensors) {
      const auto bytes = static_cast<int64_t>(tensor.nbytes());
      if (held_ > 0 && held_ + bytes > most_) flush();
      shard_.tensors[name] = tensor, held_ += bytes, total_ += bytes;
    }
    tensors.clear();
    if (last) finish();
  }

 private:
  void flush() {
    const auto file = fmt::format("part-{:05d}.safetensors", files_.size() + 1);
    shard_.metadata["format"] = "pt";
    save_safetensors((fs::path(folder_) / file).string(), shard_);
    for (const auto& item : shard_.tensors) files_of_[item.first] = files_.size();
    files_.push_back(file), shard_ = {}, held_ = 0;
  }

  /// Published names tell how many files there are, which is known now.
  void finish() {
    flush();
    std::vector<std::string> names;
    for (size_t i = 0; i < files_.size(); ++i) {
      names.push_back(files_.size() == 1
                          ? "model.safetensors"
                          : fmt::format("model-{:05d}-of-{:05d}.safetensors", i + 1, files_.size()));
      fs::rename(fs::path(folder_) / files_[i], fs::path(folder_) / names[i]);
    }
    if (files_.size() == 1) return;
    Json index = {{"metadata", {{"total_size", total_}}}, {"weight_map", Json::object()}};
    for (const auto& [tensor, file] : files_of_) index["weight_map"][tensor] = names[file];
    write_atomic((fs::path(folder_) / "model.safetensors.index.json").string(), dump_json(index, 2) + "\n");
  }

  std::string folder_;
  int64_t most_, held_ = 0, total_ = 0;
  SafetensorsFile shard_;
  std::vector<std::string> files_;
  std::map<std::string, size_t> files_of_;
};

void copy_texts(const std::string& from, const std::string& to) {
  if (!fs::is_directory(from)) return;
  for (const char* name : {"tokenizer.json", "tokenizer.model", "tekken.json", "tokenizer_config.json",
                           "vocab.json", "merges.txt", "spiece.model", "special_tokens_map.json",
                           "added_tokens.json", "generation_config.json", "chat_template.jinja"}) {
    const auto path = fs::path(from) / name;
    if (fs::exists(path))
      write_atomic((fs::path(to) / name).string(), read_file(path.string(), uint64_t{1} << 30));
  }
}

Json config_for(Json config, bool tied, const std::string& type) {
  config.erase("rope_interleaved");
  const bool scaled = config.contains("quantization_config");
  config.erase("quantization_config");  // the codes are values now
  config["tie_word_embeddings"] = tied;
  if (type != "file" || scaled)
    config["torch_dtype"] = config["dtype"] = type == "bf16" ? "bfloat16" : "float32";
  return config;
}

void write_config(const std::string& folder, const Json& config) {
  write_atomic((fs::path(folder) / "config.json").string(), dump_json(config, 2) + "\n");
}

/// Makes the folder, and says of which type the tensors are to be: undefined, as they are.
at::ScalarType prepared(const std::string& folder, const SaveOptions& options) {
  std::error_code error;
  GW_CHECK(!fs::exists(folder, error) || fs::is_empty(folder, error),
           "save: expected a new or empty folder, got {}; choose another", folder);
  const bool known = options.type == "file" || options.type == "f32" || options.type == "bf16";
  GW_CHECK(known, "save: expected the type file, f32 or bf16, got \"{}\"", options.type);
  fs::create_directories(folder, error);
  if (error) throw IoError(fmt::format("save: expected to create {}, got \"{}\"", folder, error.message()));
  if (options.type == "file") return at::ScalarType::Undefined;
  return options.type == "bf16" ? at::kBFloat16 : at::kFloat;
}

}  // namespace

void save_language_model(const LanguageModel& model, const std::string& folder, const SaveOptions& options,
                         const Tick& tick) {
  const auto type = prepared(folder, options);
  const auto& o = model.decoder->options();
  Collector collector(*model.decoder, o.rotary->interleaved && o.latent == 0 ? o.head_width : 0, type);
  ShardWriter writer(folder, options.shard_bytes);
  collector.add(outer_bindings(o));
  writer.take(collector.tensors(), false);
  for (int64_t i = 0; i < o.depth; ++i) {
    collector.add(layer_bindings(model, i));
    writer.take(collector.tensors(), i + 1 == o.depth);
    if (tick) tick(i + 1, o.depth);
  }
  copy_texts(model.where, folder);
  write_config(folder, config_for(model.config, o.tied, options.type));
}

void save_encoder_decoder(const EncoderDecoderModel& model, const std::string& folder,
                          const SaveOptions& options) {
  const auto type = prepared(folder, options);
  Collector collector(*model.network, 0, type);
  ShardWriter writer(folder, options.shard_bytes);
  collector.add(bindings_of(model));
  writer.take(collector.tensors(), true);
  copy_texts(model.where, folder);
  write_config(folder, config_for(model.config, model.network->options().decoder.tied, options.type));
}

}  // namespace gw::inline language
