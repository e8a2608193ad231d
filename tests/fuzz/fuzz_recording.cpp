// libFuzzer entry: recorded routes.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/check_recording.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gw::test::check_recording({reinterpret_cast<const char*>(data), size});
  return 0;
}
