#pragma once
// The names that GGUF files give to ways of cutting a text, after llama.cpp's table.
#include <string>
#include <vector>

namespace gw::inline text {

struct GgufPatterns {
  std::vector<std::string> patterns;  ///< one after the other, each cutting what the one before left
  bool ignore_merges = false;
};
/// Errors: ValueError with the names that are known.
const GgufPatterns& gguf_patterns(const std::string& pre);

}  // namespace gw::inline text
