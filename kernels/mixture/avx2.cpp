// AVX2 and FMA 4 rows at a time.
#include "kernels/mixture/mixture.h"

#if defined(__AVX2__)
namespace gw::kernels {
namespace {

constexpr int64_t kLanes = 4;

#include "kernels/mixture/wide.inl"

}  // namespace

const MixtureTable mixture_avx2{linear, gaussian, posterior, residual, information, sums, moments};

}  // namespace gw::kernels
#endif
