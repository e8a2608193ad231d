#include "gatewright/kernels/cuda/device.cuh"

namespace gw::kernels::cuda {

std::string CudaDevice::missing() const {
  int count = 0, device = 0, major = 0;
  const auto error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) return cudaGetErrorString(error);
  if (count == 0) return "the driver lists no device";
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess) {
    return cudaGetErrorString(cudaGetLastError());
  }
  return major >= 9 ? ""
                    : "device " + std::to_string(device) + " has compute capability " +
                          std::to_string(major) + ".x, these kernels need 9.0";
}

void* CudaDevice::allocate(int64_t bytes) {
  void* place = nullptr;
  if (cudaMallocAsync(&place, static_cast<size_t>(bytes), static_cast<cudaStream_t>(stream_)) == cudaSuccess)
    return place;
  static_cast<void>(cudaGetLastError());  // or the next launch would report it as its own
  return nullptr;
}

void CudaDevice::release(void* place) {
  if (place != nullptr) static_cast<void>(cudaFreeAsync(place, static_cast<cudaStream_t>(stream_)));
}

void CudaDevice::copy(void* to, const void* from, int64_t bytes) {
  static_cast<void>(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault,
                                    static_cast<cudaStream_t>(stream_)));
  static_cast<void>(finish());
}

std::string CudaDevice::finish() {
  const auto error = cudaStreamSynchronize(static_cast<cudaStream_t>(stream_));
  return error == cudaSuccess ? "" : cudaGetErrorString(error);
}

}  // namespace gw::kernels::cuda
