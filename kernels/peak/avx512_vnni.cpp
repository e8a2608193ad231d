#include "kernels/peak/peak.h"

#if defined(__AVX512VNNI__)
#include <immintrin.h>

namespace gw::kernels {

// Ten chains in registers; the empty statement keeps the compiler from folding them.
int64_t peak_int8_avx512(int64_t turns) {
  const __m512i one = _mm512_set1_epi8(1);
  __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a;
  const auto step = [one](__m512i sum) { return _mm512_dpbusd_epi32(sum, one, one); };
  for (int64_t turn = 0; turn < turns; ++turn) {
    a = step(a), b = step(b), c = step(c), d = step(d), e = step(e);
    f = step(f), g = step(g), h = step(h), i = step(i), j = step(j);
    asm volatile("" : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h), "+v"(i), "+v"(j));
  }
  return turns * 10 * 128;
}

}  // namespace gw::kernels
#endif
