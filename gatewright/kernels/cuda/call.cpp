#include "gatewright/kernels/cuda/call.h"

#include "gatewright/base/check.h"

namespace gw::kernels::cuda {

void no_device(const std::string& part, const std::string& why) {
  throw IoError(fmt::format("{}: expected a CUDA device, got none: {}", part, why));
}

void no_memory(const std::string& part, int64_t bytes, int64_t taken) {
  throw IoError(fmt::format(
      "{}: expected {} bytes of device memory beside the {} taken, got none; use fewer tokens in one call",
      part, bytes, taken));
}

void no_launch(const std::string& part, const char* what, const std::string& why) {
  throw IoError(fmt::format("{}: expected {} to start on the device, got \"{}\"", part, what, why));
}

void too_many_blocks(const std::string& part, const char* what, int64_t blocks) {
  fail("{}: expected at most {} blocks for {}, got {}; use fewer tokens in one call", part, kMostBlocks, what,
       blocks);
}

}  // namespace gw::kernels::cuda
