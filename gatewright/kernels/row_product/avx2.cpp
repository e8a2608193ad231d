// AVX2 and FMA: the plain loops, compiled for it.
#include "gatewright/kernels/row_product/row_product.h"

#if defined(__AVX2__)

namespace gw::kernels {
namespace {

#include "gatewright/kernels/row_product/rows.inl"

}  // namespace

const RowProductTable row_product_avx2{run};

}  // namespace gw::kernels
#endif
