#include "gatewright/kernels/cuda/device.cuh"
#include "gatewright/kernels/plan/cuda_body.h"

namespace gw::kernels::cuda {

template void sort_slots(CudaDevice&, const int64_t*, int64_t, int64_t, int64_t, int64_t*, int64_t*,
                         int64_t*);

}  // namespace gw::kernels::cuda
