#include "gatewright/language/checkpoint/config.h"

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/shown.h"

namespace gw::inline language {

ModelConfig::ModelConfig(Json config, std::string where)
    : json_(std::move(config)), where_(std::move(where)) {
  GW_CHECK(json_.is_object(), "{}: expected an object, got {}", where_, json_.type_name());
}

const Json* ModelConfig::find(const std::string& key) const {
  const auto at = json_.find(key);
  return at == json_.end() || at->is_null() ? nullptr : &*at;
}

bool ModelConfig::has(const std::string& key) const { return find(key) != nullptr; }

void ModelConfig::refuse(const std::string& key, const std::string& expected) const {
  const auto* value = find(key);
  fail("{}: expected \"{}\" to be {}, got {}", where_, key, expected,
       value == nullptr ? "nothing" : shown(dump_json(*value)));
}

const Json& ModelConfig::need(const std::string& key, const char* what) const {
  const auto* value = find(key);
  if (value == nullptr) refuse(key, what);
  return *value;
}

int64_t ModelConfig::integer(const std::string& key, std::optional<int64_t> otherwise, int64_t lo,
                             int64_t hi) const {
  if (!has(key) && otherwise) return *otherwise;
  const auto& value = need(key, "an integer");
  if (!value.is_number_integer()) refuse(key, "an integer");
  const auto number = value.get<int64_t>();
  if (number < lo || number > hi) refuse(key, fmt::format("from {} to {}", lo, hi));
  return number;
}

double ModelConfig::real(const std::string& key, std::optional<double> otherwise) const {
  if (!has(key) && otherwise) return *otherwise;
  const auto& value = need(key, "a number");
  if (!value.is_number()) refuse(key, "a number");
  return value.get<double>();
}

bool ModelConfig::flag(const std::string& key, std::optional<bool> otherwise) const {
  if (!has(key) && otherwise) return *otherwise;
  const auto& value = need(key, "true or false");
  if (!value.is_boolean()) refuse(key, "true or false");
  return value.get<bool>();
}

std::string ModelConfig::text(const std::string& key, std::optional<std::string> otherwise) const {
  if (!has(key) && otherwise) return *otherwise;
  const auto& value = need(key, "text");
  if (!value.is_string()) refuse(key, "text");
  return value.text();
}

std::vector<double> ModelConfig::reals(const std::string& key) const {
  const auto* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_array()) refuse(key, "a list of numbers");
  std::vector<double> out;
  for (const auto& item : *value) {
    if (!item.is_number()) refuse(key, "a list of numbers");
    out.push_back(item.get<double>());
  }
  return out;
}

std::vector<std::string> ModelConfig::texts(const std::string& key) const {
  const auto* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_array()) refuse(key, "a list of texts");
  std::vector<std::string> out;
  for (const auto& item : *value) {
    if (!item.is_string()) refuse(key, "a list of texts");
    out.push_back(item.text());
  }
  return out;
}

ModelConfig ModelConfig::table(const std::string& key) const {
  const auto* value = find(key);
  return {value == nullptr ? Json::object() : *value, where_ + ", " + key};
}

ModelConfig read_config_file(const std::string& path) {
  try {
    return {Json::parse(read_file(path, uint64_t{1} << 24)), path};
  } catch (const JsonError& error) {
    fail("{}: expected JSON: {}", path, error.what());
  }
}

Json rotary_of(const ModelConfig& config) {
  const auto own =
      config.has("rope_parameters") ? config.table("rope_parameters") : config.table("rope_scaling");
  Json to = {{"base", own.real("rope_theta", config.real("rope_theta", 10000.0))},
             {"interleaved", config.flag("rope_interleaved", false)}};
  auto kind = own.text("rope_type", own.text("type", "default"));
  if (kind == "su") kind = "longrope";
  if (kind == "default") return to;
  GW_CHECK(kind == "linear" || kind == "llama3" || kind == "yarn" || kind == "longrope",
           "{}: expected rope_type default, linear, llama3, yarn or longrope, got \"{}\"", own.where(),
           shown(kind));
  to["scaling"] = kind;
  const auto longest = config.real("max_position_embeddings", 0.0);
  const auto original =
      own.real("original_max_position_embeddings", config.real("original_max_position_embeddings", longest));
  to["original"] = static_cast<int64_t>(original);
  to["factor"] =
      own.real("factor", kind == "longrope" && original > 0 ? std::max(1.0, longest / original) : 1.0);
  const auto copy = [&](const char* from, const char* name) {
    if (own.has(from)) to[name] = own.real(from);
  };
  copy("low_freq_factor", "low"), copy("high_freq_factor", "high");
  copy("beta_fast", "beta_fast"), copy("beta_slow", "beta_slow"), copy("attention_factor", "attention");
  copy("mscale", "mscale"), copy("mscale_all_dim", "mscale_all");
  copy("short_mscale", "short_attention"), copy("long_mscale", "long_attention");
  if (own.has("truncate")) to["truncate"] = own.flag("truncate");
  if (kind == "longrope")
    to["short_factor"] = own.reals("short_factor"), to["long_factor"] = own.reals("long_factor");
  return to;
}

std::string activation_named(const ModelConfig& config, const std::string& key) {
  const auto name = config.text(key, "silu");
  if (name == "swish") return "silu";
  if (name == "gelu_pytorch_tanh" || name == "gelu_new" || name == "gelu_fast") return "gelu_tanh";
  return name;
}

}  // namespace gw::inline language
