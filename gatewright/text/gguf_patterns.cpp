#include "gatewright/text/gguf_patterns.h"

#include <map>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/gguf_vocabulary.h"
#include "gatewright/text/pre_tokenizer.h"

namespace gw::inline text {
namespace {

const std::string kContractions = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";

/// The pattern of cl100k_base with `digits` in a row.
std::string cl100k(const std::string& digits) {
  return kContractions + R"(|[^\r\n\p{L}\p{N}]?\p{L}+|)" + digits +
         R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
}

/// The pattern of o200k_base.
std::string o200k(const std::string& contractions, const std::string& digits) {
  const std::string upper = R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])", lower = R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])";
  return R"([^\r\n\p{L}\p{N}]?)" + upper + "*" + lower + "+" + contractions + R"(|[^\r\n\p{L}\p{N}]?)" +
         upper + "+" + lower + "*" + contractions + "|" + digits +
         R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
}

// Scripts with two cases, as DeepSeek's first pattern lists them.
const std::string kDeepSeekLetters =
    "\\s?["
    "A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}"
    "\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}"
    "\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}"
    "\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}"
    "\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}"
    "\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}"
    "\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}"
    "\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}"
    "\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}"
    "\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}"
    "\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}"
    "\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}"
    "\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}"
    "\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}"
    "\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}"
    "\\x{1e900}-\\x{1e943}"
    "]+";

std::map<std::string, GgufPatterns> make_table() {
  const std::string gpt2 = kGpt2Pattern, digit = "\\p{N}";
  const GgufPatterns digits_then_gpt2{{digit, gpt2}}, llama3{{cl100k("\\p{N}{1,3}")}, true};
  const GgufPatterns one_digit{{cl100k(digit)}};
  std::map<std::string, GgufPatterns> table;
  table["default"] = {{"[\\p{P}\\$\\+<=>\\^~\\|]+", gpt2, "\\p{N}+", "[0-9][0-9][0-9]"}};
  for (const char* name : {"gpt-2", "olmo", "phi-2"}) table[name] = {{gpt2}};
  for (const char* name : {"smollm", "starcoder", "refact", "granite", "command-r"})
    table[name] = digits_then_gpt2;
  for (const char* name : {"llama-bpe", "llama3", "llama-v3"}) table[name] = llama3;
  table["dbrx"] = {llama3.patterns};
  for (const char* name : {"qwen2", "stablelm2"}) table[name] = one_digit;
  for (const char* name : {"gpt-4o", "llama4"}) table[name] = {{o200k(kContractions + "?", "\\p{N}{1,3}")}};
  table["tekken"] = {{o200k("", digit)}, true};
  table["deepseek-llm"] = {
      {"[\r\n]", kDeepSeekLetters,
       "\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+", "\\s+$",
       "[\\x{800}-\\x{9fa5}\\x{ac00}-\\x{d7ff}]+", "\\p{N}+"}};
  table["deepseek-coder"] = {
      {"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[\\x{800}-\\x{9fa5}\\x{ac00}-\\x{d7ff}]+", digit}};
  table["deepseek-v3"] = {
      {"\\p{N}{1,3}", "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{30ff}]+",
       R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
       R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"}};
  return table;
}

const std::map<std::string, GgufPatterns>& table() {
  static const std::map<std::string, GgufPatterns> made = make_table();
  return made;
}

}  // namespace

std::vector<std::string> gguf_pre_tokenizers() {
  std::vector<std::string> names;
  for (const auto& [name, patterns] : table()) names.push_back(name);
  return names;
}

const GgufPatterns& gguf_patterns(const std::string& pre) {
  const auto at = table().find(pre);
  // All names, not only the nearest: taking one for another would cut texts wrongly without a word.
  if (at == table().end()) {
    std::string known;
    for (const auto& name : gguf_pre_tokenizers()) known += (known.empty() ? "" : ", ") + name;
    fail("tokenizer.ggml.pre: expected a way of cutting that is known, got \"{}\"; known: {}", shown(pre, 60),
         known);
  }
  return at->second;
}

}  // namespace gw::inline text
