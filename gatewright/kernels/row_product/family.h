#pragma once
#include "gatewright/base/dispatch.h"
#include "gatewright/kernels/row_product/row_product.h"

namespace gw::kernels {

/// ref, avx2 (AVX2 and FMA), avx512 (AVX512F), neon.
KernelFamily<RowProductTable>& row_product_family();

}  // namespace gw::kernels
