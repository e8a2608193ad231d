// AVX2 and FMA: 8 channels at a time, the last ones under a mask.
#include "gatewright/kernels/bucket_norm/bucket_norm.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

namespace gw::kernels {
namespace {

constexpr int64_t kLanes = 8;
using Vec = __m256;
using Bits = __m256i;  // a kept lane has all bits set
struct Full {};
struct Tail {
  Bits bits;
};

inline Tail tail_of(int64_t count) {
  return {_mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                             _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))};
}
inline Vec load(const float* p, Full) { return _mm256_loadu_ps(p); }
inline Vec load(const float* p, Tail lanes) { return _mm256_maskload_ps(p, lanes.bits); }
inline void store(float* p, Vec v, Full) { _mm256_storeu_ps(p, v); }
inline void store(float* p, Vec v, Tail lanes) { _mm256_maskstore_ps(p, lanes.bits, v); }
inline Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec keep(Vec v, Bits bits) { return _mm256_and_ps(v, _mm256_castsi256_ps(bits)); }
inline Bits positive_or_nan(Vec v) {
  return _mm256_castps_si256(_mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_NLE_UQ));
}
template <class Any>
inline Bits load_bits(const uint8_t* p, Any) {
  const __m256i one_bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(*p), one_bit), one_bit);
}
inline void store_bits(uint8_t* p, Bits bits, Full) {
  *p = static_cast<uint8_t>(_mm256_movemask_ps(_mm256_castsi256_ps(bits)));
}
inline void store_bits(uint8_t* p, Bits bits, Tail lanes) {
  store_bits(p, _mm256_and_si256(bits, lanes.bits), Full{});
}

inline Vec broadcast(float x) { return _mm256_set1_ps(x); }
inline Vec only(Vec v, Full) { return v; }
inline Vec only(Vec v, Tail lanes) { return keep(v, lanes.bits); }
inline float sum_of_lanes(Vec v) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

#include "gatewright/kernels/bucket_norm/wide.inl"
#include "gatewright/kernels/bucket_norm/wide_planes.inl"

}  // namespace

const BucketNormTable<float> bucket_norm_avx2{origin,          accumulate,     apply,
                                              reduce_gradient, input_gradient, &planes::table};

}  // namespace gw::kernels
#endif
