#pragma once
// What only nvcc compiles: bodies as kernels.
#include "gatewright/kernels/cuda/block.h"
#include "gatewright/kernels/cuda/device.h"

namespace gw::kernels::cuda {

template <class Body>
class DeviceBlock {
 public:
  using Private = typename Body::Private;
  using Shared = typename Body::Shared;

  __device__ explicit DeviceBlock(Shared& shared) : shared_(shared) {}
  __device__ int64_t index() const { return blockIdx.x; }
  template <class Phase>
  __device__ void each(const Phase& phase) {
    phase(static_cast<int>(threadIdx.x), mine_, shared_);
    __syncthreads();
  }
  template <class Phase>
  __device__ void each_warp(const Phase& phase) {
    phase(static_cast<int>(threadIdx.x) / kWarp, mine_, shared_);
    __syncthreads();
  }

 private:
  Shared& shared_;
  Private mine_;
};

template <class Body>
__global__ void __launch_bounds__(Body::kThreads) run_body(const Body body) {
  __shared__ typename Body::Shared shared;
  DeviceBlock<Body> block(shared);
  body(block);
}

template <class Body>
std::string CudaDevice::launch(int64_t blocks, const Body& body) {
  static_assert(sizeof(Body) <= 4096 && sizeof(typename Body::Shared) <= 48 << 10,
                "what a launch holds on every device");
  run_body<Body>
      <<<static_cast<unsigned>(blocks), Body::kThreads, 0, static_cast<cudaStream_t>(stream_)>>>(body);
  const auto error = cudaGetLastError();
  return error == cudaSuccess ? "" : cudaGetErrorString(error);
}

}  // namespace gw::kernels::cuda
