// AVX512F 8 rows at a time.
#include "kernels/mixture/mixture.h"

#if defined(__AVX512F__)
namespace gw::kernels {
namespace {

constexpr int64_t kLanes = 8;

#include "kernels/mixture/wide.inl"

}  // namespace

const MixtureTable mixture_avx512{linear, gaussian, posterior, residual, information, sums, moments};

}  // namespace gw::kernels
#endif
