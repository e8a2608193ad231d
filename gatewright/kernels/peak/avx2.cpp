#include "gatewright/kernels/peak/peak.h"

#if defined(__AVX2__)
#include <immintrin.h>

namespace gw::kernels {
namespace {

#include "gatewright/kernels/peak/chains.inl"

}  // namespace

int64_t peak_f32_avx2(int64_t turns) {
  const __m256 one = _mm256_set1_ps(1e-9f);
  run_chains<__m256>(turns, [one](__m256 sum) { return _mm256_fmadd_ps(one, one, sum); });
  return turns * kChains * 16;
}

int64_t peak_f32_fed_avx2(int64_t turns) {
  const __m256 one = _mm256_set1_ps(1e-9f);
  const auto load = [](const float* p) { return _mm256_set1_ps(*p); };
  run_fed_chains<__m256>(turns, kFactors, load,
                         [one](__m256 sum, __m256 x) { return _mm256_fmadd_ps(x, one, sum); });
  return turns * kChains * 16;
}

}  // namespace gw::kernels
#endif
