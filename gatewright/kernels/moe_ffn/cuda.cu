#include "gatewright/kernels/cuda/device.cuh"
#include "gatewright/kernels/moe_ffn/cuda_driver.h"

namespace gw::kernels::cuda {

#define GW_INSTANTIATE(T)                                                                             \
  template void ffn_forward(CudaDevice&, const FfnProblem<T>&, int64_t, float*, SavedActivations<T>); \
  template void ffn_recompute(CudaDevice&, const FfnProblem<T>&, int64_t, SavedActivations<T>);       \
  template void ffn_backward(CudaDevice&, const FfnProblem<T>&, int64_t, SavedActivations<const T>,   \
                             const T*, const FfnGradients<T>&);
GW_INSTANTIATE(float)
GW_INSTANTIATE(Bf16)
#undef GW_INSTANTIATE

}  // namespace gw::kernels::cuda
