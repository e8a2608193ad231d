// Which file holds a tokenizer, and of which kind it is.
#include <filesystem>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/json_text.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/tokenizer.h"
#include "gatewright/text/tokenizer_parts.h"

namespace gw::inline text {
namespace {

constexpr uint64_t kFileLimit_bytes = uint64_t{256} << 20;

std::shared_ptr<TokenizerParts> read_parts(std::string_view content, const std::string& where) {
  const size_t first = content.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  GW_CHECK(first != std::string_view::npos, "{}: expected a tokenizer, got an empty file", where);
  if (content[first] != '{') return read_sentence_piece(content, where);
  const Json json = parse_json(content, where);
  const Field document(json, where);
  if (document.has("model")) return read_tokenizer_json(document);
  GW_CHECK(document.has("config") && document.has("vocab"),
           "{}: expected the key \"model\" (tokenizer.json) or \"config\" and \"vocab\" (tekken.json), got "
           "neither",
           where);
  return read_tekken(document);
}

/// "bos_token": "<s>" or {"content": "<s>", …}.
int32_t named_token(const Field& config, const char* key, const Tokenizer& tokenizer) {
  if (!config.has(key)) return -1;
  const Field value = config.at(key);
  const std::string& content = value.json().is_object() ? value.at("content").text() : value.text();
  return tokenizer.id(content).value_or(-1);
}

}  // namespace

Tokenizer Tokenizer::from_bytes(std::string_view content, const std::string& where) {
  return Tokenizer(read_parts(content, where));
}

Tokenizer Tokenizer::from_file(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::is_directory(path, error)) return from_bytes(read_file(path, kFileLimit_bytes), shown(path));
  for (const char* name : {"tokenizer.json", "tokenizer.model", "spiece.model", "tekken.json"}) {
    const std::string file = (fs::path(path) / name).string();
    if (!fs::exists(file, error)) continue;
    auto parts = read_parts(read_file(file, kFileLimit_bytes), shown(file));
    const std::string config = (fs::path(path) / "tokenizer_config.json").string();
    if (std::string(name) == "tokenizer.json" && fs::exists(config, error)) {
      const Json json = read_json(config);
      const Field field(json, shown(config));
      const Tokenizer tokenizer(parts);
      parts->bos = named_token(field, "bos_token", tokenizer);
      parts->eos = named_token(field, "eos_token", tokenizer);
    }
    return Tokenizer(std::move(parts));
  }
  throw IoError(fmt::format(
      "folder \"{}\": expected tokenizer.json, tokenizer.model, spiece.model or tekken.json in it, "
      "got none; check the path",
      shown(path)));
}

}  // namespace gw::inline text
