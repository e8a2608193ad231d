#pragma once
// Host side of the CUDA levels: what one call takes from a device and what it launches there. `Device` is
// CudaDevice (device.h) or the emulator of the tests, and has
//   std::string missing() const                             "" or why there is no device
//   void* allocate(int64_t bytes), void release(void*)      null: none left. Released memory may be used
//   until the work in flight has ended std::string launch(int64_t blocks, const Body& body)    "" or the
//   device's own message; returns before the work is done
#include <cstdint>
#include <string>
#include <vector>

namespace gw::kernels::cuda {

/// Blocks that one launch may have: the hardware's limit of the first dimension.
inline constexpr int64_t kMostBlocks = (int64_t{1} << 31) - 1;

// In a file of its own (call.cpp): nvcc 13 cannot read libfmt 9.
[[noreturn]] void no_device(const std::string& part, const std::string& why);
[[noreturn]] void no_memory(const std::string& part, int64_t bytes, int64_t taken);
[[noreturn]] void no_launch(const std::string& part, const char* what, const std::string& why);
[[noreturn]] void too_many_blocks(const std::string& part, const char* what, int64_t blocks);

/// One call. Memory that it took is given back when it ends, also by an error.
template <class Device>
class Call {
 public:
  /// Errors: IoError naming `part` when there is no device.
  Call(Device& device, std::string part) : device_(device), part_(std::move(part)) {
    const auto missing = device_.missing();
    if (!missing.empty()) no_device(part_, missing);
  }
  ~Call() {
    for (auto it = taken_.rbegin(); it != taken_.rend(); ++it) device_.release(*it);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  /// `count` values, not initialised; null for none. Errors: IoError when memory runs out.
  template <class T>
  T* take(int64_t count) {
    const int64_t bytes = count * static_cast<int64_t>(sizeof(T));
    if (bytes <= 0) return nullptr;
    void* place = device_.allocate(bytes);
    if (place == nullptr) no_memory(part_, bytes, bytes_);
    taken_.push_back(place);
    bytes_ += bytes;
    return static_cast<T*>(place);
  }

  /// Errors: ValueError for more blocks than a launch can have, IoError with the device's message.
  template <class Body>
  void launch(const char* what, int64_t blocks, const Body& body) {
    if (blocks <= 0) return;
    if (blocks > kMostBlocks) too_many_blocks(part_, what, blocks);
    const auto error = device_.launch(blocks, body);
    if (!error.empty()) no_launch(part_, what, error);
  }

 private:
  Device& device_;
  std::string part_;
  std::vector<void*> taken_;
  int64_t bytes_ = 0;
};

}  // namespace gw::kernels::cuda
