#include "gatewright/language/save_gguf.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "gatewright/base/check.h"
#include "gatewright/base/options.h"
#include "gatewright/base/shown.h"
#include "gatewright/language/checkpoint/gguf.h"
#include "gatewright/language/write_gguf.h"

namespace gw::inline language {
namespace {

constexpr const char* kNames[][2] = {{"attention_norm.", "attn_norm."},
                                     {"norm.", "ffn_norm."},
                                     {"attention.query.", "attn_q."},
                                     {"attention.key.", "attn_k."},
                                     {"attention.value.", "attn_v."},
                                     {"attention.output.", "attn_output."},
                                     {"attention.query_norm.", "attn_q_norm."},
                                     {"attention.key_norm.", "attn_k_norm."},
                                     {"attention.sinks", "attn_sinks.weight"},
                                     {"mixture.gate.", "ffn_gate_inp."},
                                     {"mixture.shared_gate", "ffn_gate_inp_shexp.weight"}};
constexpr const char* kBanks[][2] = {
    {"dense.", ""}, {"mixture.bank.", "_exps"}, {"mixture.shared.", "_shexp"}};
constexpr const char* kParts[][2] = {{"1", "ffn_up"}, {"g", "ffn_gate"}, {"2", "ffn_down"}};

/// The name within a layer. Errors: ValueError for what llama.cpp has no name for.
std::string inner_name(const std::string& own) {
  for (const auto& [ours, theirs] : kNames)
    if (own.rfind(ours, 0) == 0) return theirs + own.substr(std::string(ours).size());
  for (const auto& [bank, end] : kBanks) {
    if (own.rfind(bank, 0) != 0) continue;
    const auto rest = own.substr(std::string(bank).size());  // w1, bg
    for (const auto& [part, name] : kParts)
      if (rest.size() == 2 && rest.substr(1) == part)
        return fmt::format("{}{}.{}", name, end, rest[0] == 'w' ? "weight" : "bias");
  }
  fail("GGUF: expected parameters that llama.cpp has names for, got \"{}\"", own);
}

std::string gguf_name(const std::string& own, const std::string& family) {
  if (own == "embedding") return "token_embd.weight";
  if (own.rfind("norm.", 0) == 0) return "output_" + own;
  if (own.rfind("head.", 0) == 0) return "output." + own.substr(5);
  const auto dot = own.find('.');
  auto inner = inner_name(own.substr(dot + 1));
  if (family == "gpt_oss" && inner.rfind("ffn_norm", 0) == 0) inner = "post_attention_norm" + inner.substr(8);
  return fmt::format("blk.{}.{}", own.substr(5, dot - 5), inner);
}

/// Pairs (j, j + width / 2) of each head to neighbours (2j, 2j + 1).
at::Tensor paired(const at::Tensor& rows, int64_t head_width) {
  const auto shape = rows.sizes().vec();
  std::vector<int64_t> split{-1, 2, head_width / 2};
  split.insert(split.end(), shape.begin() + 1, shape.end());
  return rows.reshape(split).transpose(1, 2).reshape(shape);
}

struct WrittenKeys {
  Json all = Json::object();
  std::string prefix;
  void put(const char* key, const Json& value) { all[prefix + key] = value; }
};

void put_mixture(WrittenKeys& keys, const DecoderOptions& o, const std::string& family) {
  if (o.mixture.empty()) return;
  const auto& mixture = o.mixture.json();
  const int64_t hidden = mixture["bank"].value("hidden", int64_t{0});
  keys.put("expert_count", o.experts()), keys.put("expert_used_count", o.chosen());
  if (family != "mixtral") keys.put("expert_feed_forward_length", hidden);
  if (mixture.contains("shared_bank"))
    keys.put("expert_shared_feed_forward_length", mixture["shared_bank"].value("hidden", int64_t{0}));
}

Json metadata_of(const LanguageModel& model, const std::string& architecture, const std::string& type) {
  const auto& o = model.decoder->options();
  WrittenKeys keys{Json::object(), architecture + "."};
  keys.all["general.architecture"] = architecture;
  keys.all["general.file_type"] = type == "f32" ? 0 : type == "f16" ? 1 : type == "q8_0" ? 7 : 32;
  keys.put("block_count", o.depth), keys.put("embedding_length", o.width),
      keys.put("vocab_size", o.vocabulary);
  keys.put("feed_forward_length", o.hidden), keys.put("context_length", o.context);
  keys.put("attention.head_count", o.heads), keys.put("attention.head_count_kv", o.key_heads);
  keys.put("attention.key_length", o.head_width), keys.put("attention.value_length", o.head_width);
  keys.put("attention.layer_norm_rms_epsilon", o.norm_epsilon);
  keys.put("rope.dimension_count", o.head_width), keys.put("rope.freq_base", o.rotary->base);
  if (o.window > 0) keys.put("attention.sliding_window", o.window);
  if (o.clip > 0) keys.put("attention.clamp_kqv", o.clip);
  if (o.rotary->scaling != "none") {
    keys.put("rope.scaling.type", o.rotary->scaling), keys.put("rope.scaling.factor", o.rotary->factor);
    keys.put("rope.scaling.original_context_length", o.rotary->original);
  }
  if (architecture == "granitemoe") {
    keys.put("embedding_scale", o.embedding_scale), keys.put("attention.scale", o.attention_scale);
    keys.put("residual_scale", o.residual_scale), keys.put("logit_scale", o.logit_divisor);
  }
  put_mixture(keys, o, model.family);
  if (model.metadata.is_object())
    for (const auto& [key, value] : model.metadata.items())
      if (key.rfind("tokenizer.", 0) == 0) keys.all[key] = value;
  return keys.all;
}

/// Where two option tables differ; numbers may by what f32 rounds.
std::optional<std::string> difference(const Json& a, const Json& b, const std::string& at) {
  if (a.is_number() && b.is_number()) {
    const double x = a.get<double>(), y = b.get<double>();
    if (std::abs(x - y) <= 1e-6 * std::max(std::abs(x), std::abs(y))) return std::nullopt;
  } else if (a.is_object() && b.is_object()) {
    for (const auto& [key, value] : a.items())
      if (auto found =
              difference(value, b.contains(key) ? b[key] : Json(), at + (at.empty() ? "" : ".") + key))
        return found;
    for (const auto& [key, value] : b.items())
      if (!a.contains(key)) return at + "." + key;
    return std::nullopt;
  } else if (a == b) {
    return std::nullopt;
  }
  return fmt::format("{} (here {}, read back {})", at, shown(dump_json(a)), shown(dump_json(b)));
}

Json compared(DecoderOptions o) {
  o.tied = false, o.seed = 0;
  auto all = write_options(o);
  if (auto& mixture = all["mixture"]; mixture.is_object()) {  // what is of training alone
    mixture.erase("balancers");
    for (const char* how : {"compute", "recompute"})
      if (mixture.contains("bank") && mixture["bank"].is_object()) mixture["bank"].erase(how);
  }
  auto rotary = *o.rotary;  // with the values that it does not name
  rotary.interleaved = false;
  all["rotary"] = write_options(rotary);
  return all;
}

/// Metadata say less than a config.json: what a reader would make of them must be this model.
void check_readable(const LanguageModel& model, const Json& metadata) {
  const auto& o = model.decoder->options();
  GgufHeader header{metadata, {}};
  header.tensors["token_embd.weight"] = {{o.vocabulary, o.width}, gguf_type(0), 0, 0};
  const auto config = gguf_config(header, "GGUF");
  const auto back = make_family(config.text("model_type"))->options(config);
  const auto where = difference(compared(o), compared(back), "");
  GW_CHECK(!where,
           "save: expected a model that GGUF's metadata describe, got one that differs in {}; write a folder",
           *where);
}

std::string type_for(const std::string& name, const at::Tensor& t, const std::string& type) {
  const auto ends = [&](const std::string& end) {
    return name.size() >= end.size() && name.substr(name.size() - end.size()) == end;
  };
  const bool exact = t.dim() < 2 || ends(".bias") || name.find(".ffn_gate_inp") != std::string::npos;
  if (exact || type == "f32") return "F32";
  if (type == "q8_0") return t.size(-1) % 32 == 0 ? "Q8_0" : "F16";
  return type == "bf16" ? "BF16" : "F16";
}

}  // namespace

void save_gguf(const LanguageModel& model, const std::string& path, const std::string& type,
               const Tick& tick) {
  const bool known = type == "f32" || type == "f16" || type == "bf16" || type == "q8_0";
  GW_CHECK(known, "save: expected the type f32, f16, bf16 or q8_0, got \"{}\"", shown(type));
  const auto* architecture = gguf_architecture(model.family);
  GW_CHECK(architecture != nullptr,
           "save: expected a family that GGUF files are read of, got {}; write a folder", model.family);
  const auto& o = model.decoder->options();
  const auto metadata = metadata_of(model, architecture->theirs, type);
  check_readable(model, metadata);
  const bool pairs = architecture->interleaved && !o.rotary->interleaved;
  std::vector<GgufOut> tensors;
  for (const auto& item : model.decoder->named_parameters()) {
    const auto& own = item.key();
    auto t = item.value();
    GW_CHECK(t.numel() > 0, "save: expected weights of f32 or bf16, got codes in \"{}\"; load the model anew",
             own);
    if (own.find(".dense.") != std::string::npos || own.find(".mixture.shared.") != std::string::npos)
      t = t.squeeze(0);
    const auto name = gguf_name(own, model.family);
    const bool turned =
        own.find("attention.query.") != std::string::npos || own.find("attention.key.") != std::string::npos;
    const int64_t width = pairs && turned ? o.head_width : 0;
    tensors.push_back({name, t.sizes().vec(), type_for(name, t, type),
                       [t, width] { return width > 0 ? paired(t, width) : t; }});
  }
  write_gguf(path, metadata, tensors, tick);
}

}  // namespace gw::inline language
