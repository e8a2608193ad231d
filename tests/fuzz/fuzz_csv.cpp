// libFuzzer entry: tables.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/check_csv.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gw::test::check_csv({reinterpret_cast<const char*>(data), size});
  return 0;
}
