// AVX2 and FMA: vectors of 8.
#include "gatewright/kernels/attend/attend.h"

#if defined(__AVX2__)
#include <immintrin.h>

namespace gw::kernels {
namespace {

constexpr int64_t kLanes = 8, kVectors = 4;  // 3 rows · 4 vectors: 12 of 16 registers hold sums
using Vector = __m256;

inline Vector load(const float* p) { return _mm256_loadu_ps(p); }
inline Vector load(const Bf16* p) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
inline void store(float* p, Vector v) { _mm256_storeu_ps(p, v); }
inline Vector same(float value) { return _mm256_set1_ps(value); }
inline Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
inline Vector larger(Vector a, Vector b) { return _mm256_max_ps(a, b); }
inline Vector smaller(Vector a, Vector b) { return _mm256_min_ps(a, b); }

inline void transpose(Vector (&r)[kLanes]) {
  Vector t[kLanes];
  for (int i = 0; i < 8; i += 2)
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]), t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44), r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    const Vector low = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31), r[i] = low;
  }
}

#include "gatewright/kernels/attend/wide.inl"

}  // namespace

const AttendTable attend_avx2{attend<float>, attend<Bf16>, turn_all<float>, turn_all<Bf16>};

}  // namespace gw::kernels
#endif
