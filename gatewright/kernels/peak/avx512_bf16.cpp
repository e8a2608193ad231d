#include "gatewright/kernels/peak/peak.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>

namespace gw::kernels {
namespace {

#include "gatewright/kernels/peak/chains.inl"

}  // namespace

int64_t peak_bf16_avx512(int64_t turns) {
  const __m512 one = _mm512_set1_ps(1e-9f);
  const auto pair = reinterpret_cast<__m512bh>(one);
  run_chains<__m512>(turns, [pair](__m512 sum) { return _mm512_dpbf16_ps(sum, pair, pair); });
  return turns * kChains * 64;
}

}  // namespace gw::kernels
#endif
