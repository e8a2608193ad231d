#include "kernels/peak/peak.h"

#if defined(__AVX2__)
#include <immintrin.h>

namespace gw::kernels {

// Ten chains in registers; the empty statement keeps the compiler from folding them.
int64_t peak_f32_avx2(int64_t turns) {
  const __m256 one = _mm256_set1_ps(1e-9f);
  __m256 a = _mm256_setzero_ps(), b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a;
  const auto step = [one](__m256 sum) { return _mm256_fmadd_ps(one, one, sum); };
  for (int64_t turn = 0; turn < turns; ++turn) {
    a = step(a), b = step(b), c = step(c), d = step(d), e = step(e);
    f = step(f), g = step(g), h = step(h), i = step(i), j = step(j);
    asm volatile("" : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h), "+v"(i), "+v"(j));
  }
  return turns * 10 * 16;
}

}  // namespace gw::kernels
#endif
