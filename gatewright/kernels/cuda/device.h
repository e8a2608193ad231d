#pragma once
// A CUDA device as the CUDA levels see it, for files that are not compiled by nvcc.
#include <cstdint>
#include <string>

namespace gw::kernels::cuda {

/// The Device of call.h: memory and launches in order on one stream. Not for several threads at once.
class CudaDevice {
 public:
  /// `stream`: a cudaStream_t of the current device; null: the default stream.
  explicit CudaDevice(void* stream = nullptr) : stream_(stream) {}

  /// "" or why no device can be used: none there, a driver that is too old, one older than sm_90.
  std::string missing() const;
  /// Memory in the order of the stream. null: none left.
  void* allocate(int64_t bytes);
  void release(void* place);
  /// From or to the host; waits for the stream.
  void copy(void* to, const void* from, int64_t bytes);
  /// Waits for the work in flight. "" or the message of what failed in it.
  std::string finish();
  template <class Body>
  std::string launch(int64_t blocks, const Body& body);

 private:
  void* stream_;
};

}  // namespace gw::kernels::cuda
