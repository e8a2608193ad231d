#pragma once
// Pages of the documentation that a test follows as a reader would.
#include <string>

#include "tests/cli/shell.h"
#include "tests/runs/scratch.h"

namespace gw::test {

inline std::string page_text(const std::string& name) {
  return read_file(std::string(GW_SOURCE_ROOT) + "docs/" + name);
}

/// What stands between the fences of the page's first block of a language; empty if there is none.
inline std::string fenced_block(const std::string& page, const std::string& language) {
  const auto fence = "```" + language + "\n";
  const auto first = page.find(fence);
  if (first == std::string::npos) return "";
  const auto begin = first + fence.size();
  return page.substr(begin, page.find("```", begin) - begin);
}

}  // namespace gw::test
