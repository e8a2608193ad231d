// libFuzzer entry: recipes.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/check_toml.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gw::test::check_toml({reinterpret_cast<const char*>(data), size});
  return 0;
}
