// AVX512F: 16 pixels at a time.
#include "gatewright/kernels/plane_conv/plane_conv.h"

#if defined(__AVX512F__)
#include <immintrin.h>

namespace gw::kernels {
namespace {

using Vec = __m512;
constexpr int kLanes = 16, kSums = 24, kWidest = 6, kProducts = 6;

inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline Vec load_lanes(const float* p, unsigned bits) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>(bits), p);
}
inline void store_lanes(float* p, Vec v, unsigned bits) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>(bits), v);
}
inline Vec broadcast(float x) { return _mm512_set1_ps(x); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec relu(Vec v) {
  return _mm512_max_ps(_mm512_setzero_ps(), v);
}  // the second operand where one is NaN

inline Vec larger(Vec a, Vec b) {  // max gives b where one is NaN
  return _mm512_mask_mov_ps(_mm512_max_ps(a, b), _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), a);
}
inline Vec even(Vec a, Vec b) {
  const __m512i from = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  return _mm512_permutex2var_ps(a, from, b);
}
inline Vec odd(Vec a, Vec b) {
  const __m512i from = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  return _mm512_permutex2var_ps(a, from, b);
}

// even and odd undone: the first and the second half of a, b taken in turns.
inline Vec first_pairs(Vec a, Vec b) {
  const __m512i from = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  return _mm512_permutex2var_ps(a, from, b);
}
inline Vec second_pairs(Vec a, Vec b) {
  const __m512i from = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  return _mm512_permutex2var_ps(a, from, b);
}
inline float sum_of_lanes(Vec v) { return _mm512_reduce_add_ps(v); }

// Choices between lanes.
using Mask = __mmask16;
inline Mask only(unsigned bits) { return static_cast<Mask>(bits); }
inline Vec load_where(const float* p, Mask m) { return _mm512_maskz_loadu_ps(m, p); }
inline Vec keep(Vec v, Mask m) { return _mm512_maskz_mov_ps(m, v); }
inline Vec drop(Vec v, Mask m) { return keep(v, static_cast<Mask>(~m)); }
inline Vec either(Vec a, Vec b, Mask b_where) { return _mm512_mask_mov_ps(a, b_where, b); }
inline Mask without(Mask a, Mask b) { return static_cast<Mask>(a & ~b); }
inline Mask any(Mask a, Mask b) { return static_cast<Mask>(a | b); }
inline Mask not_positive(Vec v) { return _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_LE_OQ); }
inline Mask wins(Vec challenger, Vec best) {
  return any(_mm512_cmp_ps_mask(challenger, best, _CMP_GT_OQ),
             _mm512_cmp_ps_mask(challenger, challenger, _CMP_UNORD_Q));
}

#include "gatewright/kernels/plane_conv/loops.inl"
#include "gatewright/kernels/plane_conv/wide.inl"
#include "gatewright/kernels/plane_conv/wide_backward.inl"

}  // namespace

const PlaneTable plane_conv_avx512{convolve,  max_pool2,          split2, linear, weight_gradient,
                                   copy_rows, max_pool2_gradient, total,  merge};

}  // namespace gw::kernels
#endif
