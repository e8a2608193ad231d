// libFuzzer entry: PNG and JPEG files.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/check_picture.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gw::test::check_picture({reinterpret_cast<const char*>(data), size});
  return 0;
}
