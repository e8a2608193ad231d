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
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-"
    "ἕἘ-"
    "Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐ"
    "ῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-"
    "𐑏𐒰-"
    "𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";

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
  table["deepseek-llm"] = {{"[\r\n]", kDeepSeekLetters, "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$",
                            "[一-龥ࠀ-一가-퟿]+", "\\p{N}+"}};
  table["deepseek-coder"] = {{"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", digit}};
  table["deepseek-v3"] = {
      {"\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
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
