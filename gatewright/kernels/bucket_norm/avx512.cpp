// AVX512F: 16 channels at a time, the last ones under a mask.
#include "gatewright/kernels/bucket_norm/bucket_norm.h"

#if defined(__AVX512F__)
#include <immintrin.h>

namespace gw::kernels {
namespace {

constexpr int64_t kLanes = 16;
using Vec = __m512;
using Bits = __mmask16;
struct Full {};
struct Tail {
  __mmask16 bits;
  int64_t count;
};

inline Tail tail_of(int64_t count) { return {static_cast<__mmask16>((1u << count) - 1), count}; }
inline Vec load(const float* p, Full) { return _mm512_loadu_ps(p); }
inline Vec load(const float* p, Tail lanes) { return _mm512_maskz_loadu_ps(lanes.bits, p); }
inline void store(float* p, Vec v, Full) { _mm512_storeu_ps(p, v); }
inline void store(float* p, Vec v, Tail lanes) { _mm512_mask_storeu_ps(p, lanes.bits, v); }
inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec keep(Vec v, Bits bits) { return _mm512_maskz_mov_ps(bits, v); }
inline Bits positive_or_nan(Vec v) { return _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NLE_UQ); }
inline Bits load_bits(const uint8_t* p, Full) { return static_cast<Bits>(p[0] | p[1] << 8); }
inline Bits load_bits(const uint8_t* p, Tail lanes) {
  return lanes.count > 8 ? load_bits(p, Full{}) : Bits(p[0]);
}
inline void store_bits(uint8_t* p, Bits bits, Full) {
  p[0] = static_cast<uint8_t>(bits);
  p[1] = static_cast<uint8_t>(bits >> 8);
}
inline void store_bits(uint8_t* p, Bits bits, Tail lanes) {
  const Bits meant = bits & lanes.bits;
  p[0] = static_cast<uint8_t>(meant);
  if (lanes.count > 8) p[1] = static_cast<uint8_t>(meant >> 8);
}

inline Vec broadcast(float x) { return _mm512_set1_ps(x); }
inline Vec only(Vec v, Full) { return v; }
inline Vec only(Vec v, Tail lanes) { return keep(v, lanes.bits); }
inline float sum_of_lanes(Vec v) { return _mm512_reduce_add_ps(v); }

#include "gatewright/kernels/bucket_norm/wide.inl"
#include "gatewright/kernels/bucket_norm/wide_planes.inl"

}  // namespace

const BucketNormTable<float> bucket_norm_avx512{origin,          accumulate,     apply,
                                                reduce_gradient, input_gradient, &planes::table};

}  // namespace gw::kernels
#endif
