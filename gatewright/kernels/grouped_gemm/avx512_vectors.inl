// Vectors of 16 for the AVX-512 levels; needs AVX512F alone.
constexpr int64_t kLanes = 16, kTileRows = 14;
using Vector = __m512;
using Units = __m512i;

inline Vector load_sums(const float* p) { return _mm512_loadu_ps(p); }
inline Vector zero_sums() { return _mm512_setzero_ps(); }
inline void store_sums(float* p, Vector v) { _mm512_storeu_ps(p, v); }
inline void store_past(float* p, Vector v) { _mm512_stream_ps(p, v); }
inline Units load_units(const uint32_t* p) { return _mm512_loadu_si512(p); }
inline Units zero_units() { return _mm512_setzero_si512(); }
inline Units broadcast_unit(const uint32_t* p) { return _mm512_set1_epi32(static_cast<int>(*p)); }
inline void store_units(uint32_t* p, Units v, int64_t count) {
  if (count == kLanes) {
    _mm512_storeu_si512(p, v);
  } else {
    _mm512_mask_storeu_epi32(p, static_cast<__mmask16>((1u << count) - 1), v);
  }
}

// 16 × 16 in 64 shuffles: pairs, fours, then 128-bit quarters twice.
inline void transpose(Units (&r)[kLanes]) {
  Units t[kLanes];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}
