#pragma once
#include <ATen/core/Tensor.h>

#include <cstdlib>
#include <cstring>
#include <string_view>

#include "gatewright/base/error.h"
#include "gatewright/data/gzip.h"
#include "gatewright/data/idx.h"

namespace gw::test {

/// The property that fuzzing attacks: any bytes are either refused with a ValueError or become an array that
/// holds every byte after the header. Returns whether they were accepted; aborts if the property fails.
inline bool check_idx(std::string_view bytes) {
  try {
    const std::string content = inflate_gzip(bytes, 1 << 20, "fuzz");
    const at::Tensor array = parse_idx(content, 0, "fuzz");
    if (array.numel() + 4 + 4 * array.dim() != static_cast<int64_t>(content.size())) std::abort();
    const auto size = static_cast<size_t>(array.numel());
    if (std::memcmp(array.data_ptr(), content.data() + content.size() - size, size) != 0) std::abort();
    return true;
  } catch (const ValueError&) {
    return false;
  }
}

}  // namespace gw::test
