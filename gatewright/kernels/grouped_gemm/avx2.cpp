// AVX2 and FMA: f32, and bf16 widened as it is read.
#include "gatewright/kernels/grouped_gemm/grouped_gemm.h"

#if defined(__AVX2__)
#include <immintrin.h>

#include <cstring>

namespace gw::kernels {
namespace {

constexpr int64_t kLanes = 8, kTileRows = 6;
using Vector = __m256;
using Units = __m256i;

inline Vector load_sums(const float* p) { return _mm256_loadu_ps(p); }
inline Vector zero_sums() { return _mm256_setzero_ps(); }
inline void store_sums(float* p, Vector v) { _mm256_storeu_ps(p, v); }
inline void store_past(float* p, Vector v) { _mm256_stream_ps(p, v); }
inline Units load_units(const uint32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline Units zero_units() { return _mm256_setzero_si256(); }
inline Units broadcast_unit(const uint32_t* p) { return _mm256_set1_epi32(static_cast<int>(*p)); }
inline void store_units(uint32_t* p, Units v, int64_t count) {
  alignas(32) uint32_t all[kLanes];
  _mm256_store_si256(reinterpret_cast<__m256i*>(all), v);
  std::memcpy(p, all, static_cast<size_t>(count) * 4);
}

inline void transpose(Units (&r)[kLanes]) {
  Units t[kLanes];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    const Units low = _mm256_permute2x128_si256(r[i], r[i + 4], 0x20),
                high = _mm256_permute2x128_si256(r[i], r[i + 4], 0x31);
    r[i] = low;
    r[i + 4] = high;
  }
}

inline Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
inline Vector shift_up(Units v) { return _mm256_castsi256_ps(_mm256_slli_epi32(v, 16)); }
inline Vector upper_half(Units v) {
  return _mm256_castsi256_ps(_mm256_and_si256(v, _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
}

namespace f32 {
using Factor = Vector;
inline Factor prepare(Units v) { return _mm256_castsi256_ps(v); }
inline Vector dot(Vector sums, Factor a, Factor b) { return fma(a, b, sums); }
#include "gatewright/kernels/grouped_gemm/wide.inl"
#include "gatewright/kernels/grouped_gemm/wide_small_m.inl"
}  // namespace f32

namespace pairs {
#include "gatewright/kernels/grouped_gemm/widened_pair.inl"
#include "gatewright/kernels/grouped_gemm/wide.inl"
}  // namespace pairs

}  // namespace

// A panel of columns and one of rows, 256 units deep, lie in a first-level cache of 32 kB together; panels of
// columns are large powers of two apart and would push each other out of a second-level cache of 512 kB. One
// core of a Zen 3, experts of D = 2048, H = 1024 with 64 rows: 0.61 … 0.66 of the FMA peak with blocks of 512
// kB and 512 units, 0.68 … 0.69 with these; D = 1024, H = 512: 0.59 … 0.63 and 0.64 … 0.67.
constexpr int64_t kHeld = 128 << 10, kDepth = 1024;

const GemmTable<float> gemm_avx2{kTileRows,
                                 f32::kCols,
                                 1,
                                 f32::pack_k<float>,
                                 f32::pack_lanes<float>,
                                 f32::tile<float>,
                                 {kTileRows, kLanes, f32::kDeep, f32::few_k<float>, f32::few_lanes},
                                 nullptr,
                                 kHeld,
                                 kDepth};
const GemmTable<Bf16> gemm_avx2_bf16{
    kTileRows, pairs::kCols, 2,     pairs::pack_k<Bf16>, pairs::pack_lanes<Bf16>, pairs::tile<Bf16>, {},
    nullptr,   kHeld,        kDepth};

}  // namespace gw::kernels
#endif
