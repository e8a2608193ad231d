// AArch64: the plain loops, compiled for it.
#include "gatewright/kernels/row_product/row_product.h"

#if defined(__aarch64__)

namespace gw::kernels {
namespace {

#include "gatewright/kernels/row_product/rows.inl"

}  // namespace

const RowProductTable row_product_neon{run};

}  // namespace gw::kernels
#endif
