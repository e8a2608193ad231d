// AVX512F without AVX512_BF16: bf16 pairs are widened to f32 as they are read; half the rate of f32 per byte,
// exact products.
#include "gatewright/kernels/grouped_gemm/grouped_gemm.h"

#if defined(__AVX512F__)
#include <immintrin.h>

#include <cstring>

namespace gw::kernels {
namespace {

#include "gatewright/kernels/grouped_gemm/avx512_vectors.inl"
inline Vector shift_up(Units v) { return _mm512_castsi512_ps(_mm512_slli_epi32(v, 16)); }
inline Vector upper_half(Units v) {
  return _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
}
inline Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
#include "gatewright/kernels/grouped_gemm/widened_pair.inl"
#include "gatewright/kernels/grouped_gemm/wide.inl"

}  // namespace

const GemmTable<Bf16> gemm_avx512_widened_bf16{kTileRows,        kCols,     2, pack_k<Bf16>,
                                               pack_lanes<Bf16>, tile<Bf16>};

}  // namespace gw::kernels
#endif
