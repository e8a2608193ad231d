#pragma once
// The tokenizers and cases that tests/text/make_tokenizer_golden.py wrote.
#include <string>
#include <vector>

#include "gatewright/base/file.h"
#include "gatewright/base/json_text.h"

namespace gw::test {

inline const std::vector<std::string>& golden_kinds() {
  static const std::vector<std::string> kinds{"gpt2",       "gpt2_prefix", "qwen2",         "llama3",
                                              "o200k",      "splits",      "llama",         "metaspace",
                                              "characters", "unigram",     "unigram_bytes", "word_piece"};
  return kinds;
}

inline std::string golden_path(const std::string& name) {
  return std::string(GW_SOURCE_ROOT) + "tests/text/golden/" + name;
}

inline std::vector<std::string> golden_strings() {
  return read_json(golden_path("strings.json")).get<std::vector<std::string>>();
}

}  // namespace gw::test
