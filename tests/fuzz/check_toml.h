#pragma once
#include <cstdlib>
#include <string>
#include <string_view>

#include "gatewright/base/error.h"
#include "gatewright/base/json.h"
#include "gatewright/train/toml.h"

namespace gw::test {

/// The property that fuzzing attacks: any bytes are either refused with a ValueError that has a line and a
/// column, or become a table.
/// Returns whether they became one; aborts if the property fails.
inline bool check_toml(std::string_view bytes) {
  try {
    if (!parse_toml(std::string(bytes), "fuzz").is_object()) std::abort();
    return true;
  } catch (const ValueError& error) {
    const std::string text = error.what();
    const bool placed = text.rfind("fuzz:", 0) == 0 && text.size() > 5 && text[5] >= '1' && text[5] <= '9';
    if (!placed) std::abort();
    return false;
  }
}

}  // namespace gw::test
