// AVX512F 8 rows at a time.
#include "gatewright/kernels/em/em.h"

#if defined(__AVX512F__)
namespace gw::kernels {
namespace {

constexpr int64_t kLanes = 8;

#include "gatewright/kernels/em/wide.inl"
// After wide.inl: it has no vector types of its own.
#include "gatewright/kernels/em/wide_sums.inl"

}  // namespace

const EmTable em_avx512{linear, gaussian, posterior, residual, information, sums, moments};

}  // namespace gw::kernels
#endif
