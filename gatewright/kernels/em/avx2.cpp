// AVX2 and FMA 4 rows at a time.
#include "gatewright/kernels/em/em.h"

#if defined(__AVX2__)
namespace gw::kernels {
namespace {

constexpr int64_t kLanes = 4;

#include "gatewright/kernels/em/wide.inl"
// After wide.inl: it has no vector types of its own.
#include "gatewright/kernels/em/wide_sums.inl"

}  // namespace

const EmTable em_avx2{linear, gaussian, posterior, residual, information, sums, moments};

}  // namespace gw::kernels
#endif
