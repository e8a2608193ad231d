#pragma once
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "gatewright/base/error.h"
#include "gatewright/models/safetensors.h"

namespace gw::test {

/// The property that fuzzing attacks: any bytes are either refused with a ValueError or become tensors that
/// hold no more bytes than the file, and that come back the same after writing and reading. Returns whether
/// they were accepted; aborts if it fails.
inline bool check_safetensors(std::string_view bytes) {
  SafetensorsFile file;
  try {
    file = parse_safetensors(bytes, "fuzz");
  } catch (const ValueError&) {
    return false;
  }
  size_t held = 0;
  for (const auto& [name, tensor] : file.tensors) held += tensor.nbytes();
  if (held > bytes.size()) std::abort();
  if (!file.unread.empty()) return true;  // cannot be written again
  const SafetensorsFile again =
      parse_safetensors(write_safetensors(file), "fuzz");  // what was accepted must be writable: no catch
  if (again.metadata != file.metadata || again.tensors.size() != file.tensors.size()) std::abort();
  for (const auto& [name, tensor] : file.tensors) {
    const at::Tensor& other = again.tensors.at(name);
    if (other.scalar_type() != tensor.scalar_type() || other.sizes() != tensor.sizes()) std::abort();
    if (tensor.numel() > 0 && std::memcmp(other.data_ptr(), tensor.data_ptr(), tensor.nbytes()) != 0)
      std::abort();
  }
  return true;
}

}  // namespace gw::test
