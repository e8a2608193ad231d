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

// Without a dot product of integers a multiplication and an addition stand for it. In assembly: products of
// constants would leave the loop.
int64_t peak_int8_avx2(int64_t turns) {
  const __m256i one = _mm256_set1_epi8(1);
  run_chains<__m256i>(turns, [one](__m256i sum) {
    __m256i products;
    asm volatile("vpmaddwd %1, %1, %0" : "=x"(products) : "x"(one));
    return _mm256_add_epi32(sum, products);
  });
  return turns * kChains * 32;
}

int64_t peak_int4_avx2(int64_t turns) {
  const __m256i one = _mm256_set1_epi8(1);
  run_chains<__m256i>(turns, [one](__m256i sum) {
    __m256i products;
    asm volatile("vpmaddubsw %1, %1, %0" : "=x"(products) : "x"(one));
    return _mm256_add_epi16(sum, products);
  });
  return turns * kChains * 64;
}

}  // namespace gw::kernels
#endif
