// libFuzzer entry: IDX arrays, plain or gzip.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/check_idx.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gw::test::check_idx({reinterpret_cast<const char*>(data), size});
  return 0;
}
