#include "gatewright/kernels/peak/peak.h"

#if defined(__AVX512F__)
#include <immintrin.h>

namespace gw::kernels {
namespace {

#include "gatewright/kernels/peak/chains.inl"

}  // namespace

int64_t peak_f32_avx512(int64_t turns) {
  const __m512 one = _mm512_set1_ps(1e-9f);
  run_chains<__m512>(turns, [one](__m512 sum) { return _mm512_fmadd_ps(one, one, sum); });
  return turns * kChains * 32;
}

int64_t peak_f32_fed_avx512(int64_t turns) {
  const __m512 one = _mm512_set1_ps(1e-9f);
  const auto load = [](const float* p) { return _mm512_set1_ps(*p); };
  run_fed_chains<__m512>(turns, kFactors, load,
                         [one](__m512 sum, __m512 x) { return _mm512_fmadd_ps(x, one, sum); });
  return turns * kChains * 32;
}

uint64_t peak_read_avx512(const void* from, int64_t bytes) {
  const auto* p = static_cast<const char*>(from);
  __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
  for (int64_t i = 0; i < bytes; i += 256) {
    a = _mm512_xor_si512(a, _mm512_loadu_si512(p + i));
    b = _mm512_xor_si512(b, _mm512_loadu_si512(p + i + 64));
    c = _mm512_xor_si512(c, _mm512_loadu_si512(p + i + 128));
    d = _mm512_xor_si512(d, _mm512_loadu_si512(p + i + 192));
  }
  uint64_t words[8];
  _mm512_storeu_si512(words, _mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d)));
  return words[0] ^ words[1] ^ words[2] ^ words[3] ^ words[4] ^ words[5] ^ words[6] ^ words[7];
}

}  // namespace gw::kernels
#endif
