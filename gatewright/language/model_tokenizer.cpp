#include "gatewright/language/model_tokenizer.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/mapped_file.h"
#include "gatewright/base/options.h"
#include "gatewright/language/checkpoint/config.h"
#include "gatewright/language/checkpoint/gguf.h"
#include "gatewright/text/gguf_vocabulary.h"

namespace gw::inline language {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kFileBytes = uint64_t{1} << 24;

template <class T>
std::vector<T> numbers(const ModelConfig& m, const char* key) {
  std::vector<T> out;
  for (const double value : m.reals(key)) out.push_back(static_cast<T>(value));
  return out;
}

GgufVocabulary vocabulary_of(const ModelConfig& m) {
  GgufVocabulary v;
  v.model = m.text("tokenizer.ggml.model"), v.pre = m.text("tokenizer.ggml.pre", "default");
  v.tokens = m.texts("tokenizer.ggml.tokens"), v.merges = m.texts("tokenizer.ggml.merges");
  GW_CHECK(!v.tokens.empty(), "{}: expected a vocabulary under tokenizer.ggml.tokens, got none", m.where());
  v.scores = numbers<float>(m, "tokenizer.ggml.scores");
  v.token_types = numbers<int32_t>(m, "tokenizer.ggml.token_type");
  const auto id = [&](const char* key) {
    return static_cast<int32_t>(m.integer(std::string("tokenizer.ggml.") + key, -1, -1, INT32_MAX));
  };
  v.bos = id("bos_token_id"), v.eos = id("eos_token_id"), v.unknown = id("unknown_token_id");
  v.add_bos = m.flag("tokenizer.ggml.add_bos_token", v.model == "llama");
  v.add_eos = m.flag("tokenizer.ggml.add_eos_token", false);
  v.add_space_prefix = m.flag("tokenizer.ggml.add_space_prefix", true);
  return v;
}

ModelTokenizer from_metadata(const ModelConfig& m) {
  ModelTokenizer out{Tokenizer::from_gguf(vocabulary_of(m)), {}, m.text("tokenizer.chat_template", "")};
  for (const char* key : {"eos", "eot", "eom"}) {
    const auto id = m.integer(std::string("tokenizer.ggml.") + key + "_token_id", -1, -1, INT32_MAX);
    if (id >= 0) out.ends.push_back(static_cast<int32_t>(id));
  }
  return out;
}

/// The object of a file beside the model; an empty one where there is no such file.
ModelConfig beside(const std::string& folder, const char* name) {
  const auto path = (fs::path(folder) / name).string();
  return fs::exists(path) ? read_config_file(path) : ModelConfig(Json::object(), path);
}

void add_ends(const ModelConfig& config, std::vector<int32_t>& ends) {
  if (!config.has("eos_token_id")) return;
  const auto& value = config.json()["eos_token_id"];
  for (const auto& one : value.is_array() ? value : Json::array({value}))
    if (one.is_number_integer()) ends.push_back(static_cast<int32_t>(one.get<int64_t>()));
}

std::string template_in(const std::string& folder) {
  const auto path = fs::path(folder) / "chat_template.jinja";
  if (fs::exists(path)) return read_file(path.string(), kFileBytes);
  const auto config = beside(folder, "tokenizer_config.json");
  if (!config.has("chat_template")) return "";
  const auto& value = config.json()["chat_template"];
  if (value.is_string()) return value.text();
  for (const auto& one : value)  // older files name several
    if (one.is_object() && one.value("name", "") == "default") return one.value("template", "");
  return "";
}

std::string models_folder() {
  if (const char* given = std::getenv("GATEWRIGHT_MODELS"); given != nullptr && *given != '\0') return given;
  const char* home = std::getenv("HOME");
  return (fs::path(home == nullptr ? "." : home) / "gatewright-models").string();
}

/// A folder without a config of its own stands for the one GGUF file in it.
std::string resolved(const std::string& path) {
  if (!fs::is_directory(path) || fs::exists(fs::path(path) / "config.json")) return path;
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.path().extension() == ".gguf") found.push_back(entry.path().string());
  GW_CHECK(found.size() == 1, "{}: expected config.json or one .gguf file, got neither of them or {} files",
           path, found.size());
  return found.front();
}

}  // namespace

ModelTokenizer load_model_tokenizer(const std::string& path) {
  if (!fs::is_directory(path) && is_gguf(path)) {
    const MappedFile file(path);
    return from_metadata({parse_gguf(file.bytes(), path).metadata, path});
  }
  const auto folder = fs::is_directory(path) ? path : fs::path(path).parent_path().string();
  ModelTokenizer out{Tokenizer::from_file(folder), {}, template_in(folder)};
  add_ends(beside(folder, "config.json"), out.ends),
      add_ends(beside(folder, "generation_config.json"), out.ends);
  if (const auto eos = out.tokenizer.eos()) out.ends.push_back(*eos);
  return out;
}

ModelTokenizer load_model_tokenizer(const LanguageModel& model) {
  return model.metadata.is_null() ? load_model_tokenizer(model.where)
                                  : from_metadata({model.metadata, model.where});
}

std::string find_model(const std::string& name) {
  if (fs::exists(name)) return resolved(name);
  const auto folder = models_folder();
  if (fs::exists(fs::path(folder) / name)) return resolved((fs::path(folder) / name).string());
  std::vector<std::string> there;
  if (fs::is_directory(folder))
    for (const auto& entry : fs::directory_iterator(folder))
      there.push_back(entry.path().filename().string());
  fail("model \"{}\": expected a folder, a file, or a name below {}, got none of them{}", name, folder,
       near_miss(name, there));
}

}  // namespace gw::inline language
