#include "gatewright/kernels/cuda/device.cuh"
#include "gatewright/kernels/grouped_gemm/cuda_body.h"

namespace gw::kernels::cuda {

template void rows_product(CudaDevice&, const RowsProduct<float>&);
template void rows_product(CudaDevice&, const RowsProduct<Bf16>&);
template void groups_product(CudaDevice&, const GroupsProduct<float>&);
template void groups_product(CudaDevice&, const GroupsProduct<Bf16>&);

}  // namespace gw::kernels::cuda
