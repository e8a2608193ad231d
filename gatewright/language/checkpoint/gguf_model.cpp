// A GGUF file as a checkpoint of Hugging Face: its metadata as config.json, its tensors under their names.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <fstream>

#include "gatewright/base/check.h"
#include "gatewright/base/mapped_file.h"
#include "gatewright/base/options.h"
#include "gatewright/base/shown.h"
#include "gatewright/language/checkpoint/gguf.h"

namespace gw::inline language {
namespace {

struct Renamed {
  const char *theirs, *ours;
};
constexpr Renamed kOuter[] = {
    {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}};
constexpr Renamed kInner[] = {{"attn_norm", "input_layernorm"},
                              {"ffn_norm", "post_attention_layernorm"},
                              {"post_attention_norm", "post_attention_layernorm"},
                              {"attn_q", "self_attn.q_proj"},
                              {"attn_k", "self_attn.k_proj"},
                              {"attn_v", "self_attn.v_proj"},
                              {"attn_output", "self_attn.o_proj"},
                              {"attn_q_norm", "self_attn.q_norm"},
                              {"attn_k_norm", "self_attn.k_norm"},
                              {"ffn_gate", "mlp.gate_proj"},
                              {"ffn_up", "mlp.up_proj"},
                              {"ffn_down", "mlp.down_proj"},
                              {"ffn_gate_inp", "mlp.gate"},
                              {"ffn_gate_exps", "mlp.experts.gate_proj"},
                              {"ffn_up_exps", "mlp.experts.up_proj"},
                              {"ffn_down_exps", "mlp.experts.down_proj"},
                              {"ffn_gate_shexp", "mlp.shared_expert.gate_proj"},
                              {"ffn_up_shexp", "mlp.shared_expert.up_proj"},
                              {"ffn_down_shexp", "mlp.shared_expert.down_proj"},
                              {"ffn_gate_inp_shexp", "mlp.shared_expert_gate"}};

/// Names that no table knows stay as they are, and the loader says that nobody reads them.
std::string renamed(const std::string& name) {
  const auto dot = name.rfind('.');
  const std::string stem = name.substr(0, dot), end = dot == std::string::npos ? "" : name.substr(dot);
  for (const auto& [theirs, ours] : kOuter)
    if (stem == theirs) return ours + end;
  if (name.rfind("blk.", 0) != 0) return name;
  const auto next = name.find('.', 4);
  if (next == std::string::npos) return name;
  const std::string layer = "model.layers." + name.substr(4, next - 4) + ".";
  if (name.substr(next + 1) == "attn_sinks.weight") return layer + "self_attn.sinks";
  for (const auto& [theirs, ours] : kInner)
    if (stem.substr(next + 1 > stem.size() ? stem.size() : next + 1) == theirs) return layer + ours + end;
  return name;
}

class GgufSource : public TensorSource {
 public:
  GgufSource(std::shared_ptr<MappedFile> file, const GgufHeader& header) : file_(std::move(file)) {
    for (const auto& [name, tensor] : header.tensors) {
      const auto [place, fresh] = tensors_.emplace(renamed(name), tensor);
      auto& shape = place->second.shape;  // some files have the one row of this matrix as a vector
      if (shape.size() == 1 && name.find(".ffn_gate_inp_shexp.") != std::string::npos)
        shape.insert(shape.begin(), 1);
      GW_CHECK(fresh, "{}: expected one tensor for \"{}\", got another in \"{}\"", where(), renamed(name),
               shown(name));
    }
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> all;
    for (const auto& item : tensors_) all.push_back(item.first);
    return all;
  }
  bool has(const std::string& name) const override { return tensors_.count(name) > 0; }
  std::string where() const override { return file_->path(); }
  double values() const override {
    double sum = 0;
    for (const auto& item : tensors_)
      sum += static_cast<double>(item.second.bytes) / static_cast<double>(item.second.type->bytes) *
             static_cast<double>(item.second.type->values);
    return sum;
  }

  TensorInfo info(const std::string& name) const override {
    const auto& t = entry(name);
    return {t.shape, t.type->name, type_of(t), static_cast<int64_t>(t.bytes)};
  }

  std::optional<CodedTensor> coded(const std::string& name) const override {
    const auto& t = entry(name);
    if (t.type->blocks == nullptr || t.shape.size() < 2) return {};
    CodedTensor few;
    few.form = ops::FewBits::blocks, few.type = t.type->blocks;
    auto shape = t.shape;
    shape.back() /= t.type->values, shape.push_back(t.type->bytes);
    few.codes = view(t, shape, at::kByte);
    return few;
  }

  at::Tensor tensor(const std::string& name) const override {
    const auto& t = entry(name);
    const auto* at = reinterpret_cast<const uint8_t*>(file_->bytes().data()) + t.offset;
    if (t.type->expand == nullptr) return view(t, t.shape, type_of(t));
    auto out = at::empty(t.shape, at::kFloat);
    auto* to = out.data_ptr<float>();
    const auto* type = t.type;
    at::parallel_for(0, out.numel() / type->values, 1024, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) type->expand(at + i * type->bytes, to + i * type->values);
    });
    return out;
  }

 private:
  const GgufTensor& entry(const std::string& name) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end())
      fail("{}: no tensor \"{}\"{}", where(), shown(name), near_miss(name, names()));
    return found->second;
  }
  at::Tensor view(const GgufTensor& t, const std::vector<int64_t>& shape, at::ScalarType type) const {
    const auto owner = file_;
    const auto* at = reinterpret_cast<const uint8_t*>(file_->bytes().data()) + t.offset;
    return at::from_blob(
        const_cast<uint8_t*>(at), shape, [owner](void*) {}, at::TensorOptions().dtype(type));
  }
  static at::ScalarType type_of(const GgufTensor& t) {
    if (t.type->expand != nullptr || t.type->bytes == 4) return at::kFloat;
    return t.type->code == 1 ? at::kHalf : at::kBFloat16;
  }

  std::shared_ptr<MappedFile> file_;
  std::map<std::string, GgufTensor> tensors_;
};

constexpr GgufArchitecture kArchitectures[] = {
    {"llama", "llama", true},         {"qwen2", "qwen2", false}, {"qwen2moe", "qwen2_moe", false},
    {"qwen3moe", "qwen3_moe", false}, {"olmoe", "olmoe", false}, {"granitemoe", "granitemoe", true},
    {"gpt-oss", "gpt_oss", false}};

const GgufArchitecture& architecture_of(const ModelConfig& m) {
  const auto name = m.text("general.architecture");
  std::vector<std::string> known;
  for (const auto& a : kArchitectures) {
    if (name == a.theirs) return a;
    known.push_back(a.theirs);
  }
  fail("{}: unknown architecture \"{}\"{}; known are {}", m.where(), shown(name), near_miss(name, known),
       fmt::join(known, ", "));
}

/// Copies a value where the file has it.
class Keys {
 public:
  Keys(const ModelConfig& from, std::string prefix, Json& to)
      : from_(from), prefix_(std::move(prefix)), to_(to) {}
  void copy(const char* theirs, const char* ours) {
    if (has(theirs)) to_[ours] = from_.json()[prefix_ + theirs];
  }
  bool has(const char* theirs) const { return from_.has(prefix_ + theirs); }
  int64_t integer(const char* theirs, int64_t otherwise) const {
    return from_.integer(prefix_ + theirs, otherwise);
  }
  double real(const char* theirs, double otherwise) const { return from_.real(prefix_ + theirs, otherwise); }
  std::string text(const char* theirs) const { return from_.text(prefix_ + theirs, ""); }

 private:
  const ModelConfig& from_;
  std::string prefix_;
  Json& to_;
};

void copy_sizes(Keys& keys) {
  keys.copy("block_count", "num_hidden_layers"), keys.copy("embedding_length", "hidden_size");
  keys.copy("feed_forward_length", "intermediate_size"),
      keys.copy("attention.head_count", "num_attention_heads");
  keys.copy("attention.head_count_kv", "num_key_value_heads"), keys.copy("attention.key_length", "head_dim");
  keys.copy("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
      keys.copy("context_length", "max_position_embeddings");
  keys.copy("attention.sliding_window", "sliding_window"), keys.copy("attention.clamp_kqv", "clip_qkv");
  keys.copy("expert_used_count", "num_experts_per_tok");
  keys.copy("expert_feed_forward_length", "moe_intermediate_size");
  keys.copy("expert_shared_feed_forward_length", "shared_expert_intermediate_size");
  keys.copy("embedding_scale", "embedding_multiplier"), keys.copy("attention.scale", "attention_multiplier");
  keys.copy("residual_scale", "residual_multiplier"), keys.copy("logit_scale", "logits_scaling");
}

Json rotary_in(const Keys& keys, const std::string& family) {
  Json rope = {{"rope_theta", keys.real("rope.freq_base", 10000)}};
  const auto kind = keys.text("rope.scaling.type");
  if (kind.empty() || kind == "none") return rope;
  rope["rope_type"] = kind, rope["factor"] = keys.real("rope.scaling.factor", 1);
  rope["original_max_position_embeddings"] = keys.integer("rope.scaling.original_context_length", 0);
  if (family == "gpt_oss") rope["truncate"] = false;
  return rope;
}

}  // namespace

const GgufArchitecture* gguf_architecture(const std::string& family) {
  const std::string name = family == "mixtral" || family == "mistral" ? "llama" : family;
  for (const auto& a : kArchitectures)
    if (name == a.family) return &a;
  return nullptr;
}

ModelConfig gguf_config(const GgufHeader& header, const std::string& path) {
  const ModelConfig m(header.metadata, path);
  const auto& known = architecture_of(m);
  Json config = Json::object();
  Keys keys(m, std::string(known.theirs) + ".", config);
  copy_sizes(keys);
  const int64_t experts = keys.integer("expert_count", 0);
  std::string family = known.family;
  if (family == "llama" && experts > 0) family = "mixtral";
  config["model_type"] = family, config["rope_interleaved"] = known.interleaved;
  if (experts > 0) config["num_experts"] = experts;
  if (experts > 0 && (family == "olmoe" || family == "gpt_oss" || family == "granitemoe") &&
      keys.has("expert_feed_forward_length"))
    config["intermediate_size"] = config["moe_intermediate_size"];
  if (family == "qwen3_moe") config["norm_topk_prob"] = true;
  config["rope_parameters"] = rotary_in(keys, family);
  const auto embedding = header.tensors.find("token_embd.weight");
  GW_CHECK(embedding != header.tensors.end() && embedding->second.shape.size() == 2,
           "{}: expected a matrix token_embd.weight, got none", m.where());
  config["vocab_size"] = embedding->second.shape[0];
  return {config, m.where()};
}

GgufModel open_gguf(const std::string& path) {
  auto file = std::make_shared<MappedFile>(path);
  const auto header = parse_gguf(file->bytes(), path);
  auto config = gguf_config(header, path);
  return {std::make_shared<GgufSource>(file, header), std::move(config), header.metadata};
}

bool is_gguf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char magic[4] = {};
  return file.read(magic, 4) && std::string_view(magic, 4) == "GGUF";
}

}  // namespace gw::inline language
