// AVX2 and FMA: 8 pixels at a time.
#include "gatewright/kernels/plane_conv/plane_conv.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

namespace gw::kernels {
namespace {

using Vec = __m256;
constexpr int kLanes = 8, kSums = 12, kWidest = 3, kProducts = 3;

inline __m256i mask_of(unsigned bits) {
  const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lane), lane);
}
inline Vec load(const float* p) { return _mm256_loadu_ps(p); }
inline Vec load_lanes(const float* p, unsigned bits) { return _mm256_maskload_ps(p, mask_of(bits)); }
// vmaskmovps to memory takes 42 operations on Zen 3, and most vectors are whole.
inline void store_half(float* p, __m128 v, unsigned bits) {
  if (bits == 0xf) return _mm_storeu_ps(p, v);
  if ((bits & 3) == 3)
    _mm_storel_pi(reinterpret_cast<__m64*>(p), v);
  else if ((bits & 1) != 0)
    _mm_store_ss(p, v);
  else if ((bits & 2) != 0)
    _mm_store_ss(p + 1, _mm_movehdup_ps(v));
  if ((bits & 12) == 12)
    _mm_storeh_pi(reinterpret_cast<__m64*>(p + 2), v);
  else if ((bits & 4) != 0)
    _mm_store_ss(p + 2, _mm_movehl_ps(v, v));
  else if ((bits & 8) != 0)
    _mm_store_ss(p + 3, _mm_shuffle_ps(v, v, 0xff));
}
inline void store_lanes(float* p, Vec v, unsigned bits) {
  if ((bits & 0xff) == 0xff) return _mm256_storeu_ps(p, v);
  store_half(p, _mm256_castps256_ps128(v), bits & 0xf);
  store_half(p + 4, _mm256_extractf128_ps(v, 1), bits >> 4 & 0xf);
}
inline Vec broadcast(float x) { return _mm256_set1_ps(x); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
inline Vec relu(Vec v) {
  return _mm256_max_ps(_mm256_setzero_ps(), v);
}  // the second operand where one is NaN

inline Vec larger(Vec a, Vec b) {  // max gives b where one is NaN
  return _mm256_blendv_ps(_mm256_max_ps(a, b), a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}
inline Vec in_order(Vec halves) {
  return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(halves), 0xd8));
}
inline Vec even(Vec a, Vec b) { return in_order(_mm256_shuffle_ps(a, b, 0x88)); }
inline Vec odd(Vec a, Vec b) { return in_order(_mm256_shuffle_ps(a, b, 0xdd)); }

// even and odd undone: the first and the second half of a, b taken in turns.
inline Vec first_pairs(Vec a, Vec b) {
  return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x20);
}
inline Vec second_pairs(Vec a, Vec b) {
  return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x31);
}
inline float sum_of_lanes(Vec v) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// Choices between lanes: all bits of a lane.
using Mask = __m256;
inline Mask only(unsigned bits) { return _mm256_castsi256_ps(mask_of(bits)); }
inline Vec load_where(const float* p, Mask m) { return _mm256_maskload_ps(p, _mm256_castps_si256(m)); }
inline Vec keep(Vec v, Mask m) { return _mm256_and_ps(v, m); }
inline Vec drop(Vec v, Mask m) { return _mm256_andnot_ps(m, v); }
inline Vec either(Vec a, Vec b, Mask b_where) { return _mm256_blendv_ps(a, b, b_where); }
inline Mask without(Mask a, Mask b) { return _mm256_andnot_ps(b, a); }
inline Mask any(Mask a, Mask b) { return _mm256_or_ps(a, b); }
inline Mask not_positive(Vec v) { return _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_LE_OQ); }
inline Mask wins(Vec challenger, Vec best) {
  return any(_mm256_cmp_ps(challenger, best, _CMP_GT_OQ),
             _mm256_cmp_ps(challenger, challenger, _CMP_UNORD_Q));
}

#include "gatewright/kernels/plane_conv/loops.inl"
#include "gatewright/kernels/plane_conv/wide.inl"
#include "gatewright/kernels/plane_conv/wide_backward.inl"

}  // namespace

const PlaneTable plane_conv_avx2{convolve,  max_pool2,          split2, linear, weight_gradient,
                                 copy_rows, max_pool2_gradient, total,  merge};

}  // namespace gw::kernels
#endif
