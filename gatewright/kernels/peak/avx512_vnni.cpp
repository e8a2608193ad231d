#include "gatewright/kernels/peak/peak.h"

#if defined(__AVX512VNNI__)
#include <immintrin.h>

namespace gw::kernels {
namespace {

#include "gatewright/kernels/peak/chains.inl"

}  // namespace

int64_t peak_int8_avx512(int64_t turns) {
  const __m512i one = _mm512_set1_epi8(1);
  run_chains<__m512i>(turns, [one](__m512i sum) { return _mm512_dpbusd_epi32(sum, one, one); });
  return turns * kChains * 128;
}

}  // namespace gw::kernels
#endif
