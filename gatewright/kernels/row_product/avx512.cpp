// AVX512F: the plain loops, compiled for it.
#include "gatewright/kernels/row_product/row_product.h"

#if defined(__AVX512F__)

namespace gw::kernels {
namespace {

#include "gatewright/kernels/row_product/rows.inl"

}  // namespace

const RowProductTable row_product_avx512{run};

}  // namespace gw::kernels
#endif
