#include "gatewright/kernels/cuda/device.cuh"
#include "gatewright/kernels/top_k/cuda_body.h"

namespace gw::kernels::cuda {

template void top_k(CudaDevice&, const float*, int64_t, int64_t, int64_t, Score, bool, int64_t*, float*,
                    int64_t*);

}  // namespace gw::kernels::cuda
