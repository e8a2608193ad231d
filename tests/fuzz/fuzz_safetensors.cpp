// libFuzzer entry: checkpoints.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/check_safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gw::test::check_safetensors({reinterpret_cast<const char*>(data), size});
  return 0;
}
