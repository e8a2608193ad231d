#include "kernels/peak/peak.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>

namespace gw::kernels {

// Ten chains in registers; the empty statement keeps the compiler from folding them.
int64_t peak_bf16_avx512(int64_t turns) {
  const __m512 one = _mm512_set1_ps(1e-9f);
  const auto pair = reinterpret_cast<__m512bh>(one);
  __m512 a = _mm512_setzero_ps(), b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a;
  const auto step = [pair](__m512 sum) { return _mm512_dpbf16_ps(sum, pair, pair); };
  for (int64_t turn = 0; turn < turns; ++turn) {
    a = step(a), b = step(b), c = step(c), d = step(d), e = step(e);
    f = step(f), g = step(g), h = step(h), i = step(i), j = step(j);
    asm volatile("" : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h), "+v"(i), "+v"(j));
  }
  return turns * 10 * 64;
}

}  // namespace gw::kernels
#endif
