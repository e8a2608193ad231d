// AVX2 and FMA: 8 pixels at a time.
#include "gatewright/kernels/plane_conv/plane_conv.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

namespace gw::kernels {
namespace {

using Vec = __m256;
constexpr int kLanes = 8, kSums = 12, kWidest = 3;

inline __m256i mask_of(unsigned bits) {
  const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lane), lane);
}
inline Vec load(const float* p) { return _mm256_loadu_ps(p); }
inline Vec load_lanes(const float* p, unsigned bits) { return _mm256_maskload_ps(p, mask_of(bits)); }
inline void store_lanes(float* p, Vec v, unsigned bits) { _mm256_maskstore_ps(p, mask_of(bits), v); }
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

#include "gatewright/kernels/plane_conv/loops.inl"
#include "gatewright/kernels/plane_conv/wide.inl"

}  // namespace

const PlaneTable plane_conv_avx2{convolve, max_pool2, split2, linear};

}  // namespace gw::kernels
#endif
