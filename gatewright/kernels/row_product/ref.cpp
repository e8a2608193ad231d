// The reference: the plain loops for any processor; fused steps are a function's calls where it has none.
#include "gatewright/kernels/row_product/row_product.h"

namespace gw::kernels {
namespace {

#include "gatewright/kernels/row_product/rows.inl"

}  // namespace

const RowProductTable row_product_ref{run};

}  // namespace gw::kernels
