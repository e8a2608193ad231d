// Sums of few rows in registers: four rows of the result at a time, so that what they share is loaded once.
// Included by the AVX-512 levels before rows.inl.
inline void store_64(const __m512 (&v)[4], float* to) {
  for (int64_t i = 0; i < 4; ++i) _mm512_storeu_ps(to + 16 * i, v[i]);
}
inline void load_64(const float* from, __m512 (&v)[4]) {
  for (int64_t i = 0; i < 4; ++i) v[i] = _mm512_loadu_ps(from + 16 * i);
}
inline float factor_of(float value) { return value; }

#if defined(__AVX512BF16__) && defined(__AVX512BW__)
// Each 32 values as even and odd ones; the conversion puts the odd ones behind the even ones, one shuffle
// puts them in order.
inline void store_64(const __m512 (&v)[4], Bf16* to) {
  alignas(64) static constexpr uint16_t kOrder[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                      21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                      11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i order = _mm512_load_si512(kOrder);
  for (int64_t i = 0; i < 2; ++i) {
    const auto both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(v[2 * i + 1], v[2 * i]));
    _mm512_storeu_si512(to + 32 * i, _mm512_permutexvar_epi16(order, both));
  }
}
inline void load_64(const Bf16* from, __m512 (&v)[4]) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  for (int64_t i = 0; i < 2; ++i) {
    const __m512i pair = _mm512_loadu_si512(from + 32 * i);
    v[2 * i] = _mm512_castsi512_ps(_mm512_slli_epi32(pair, 16));
    v[2 * i + 1] = _mm512_castsi512_ps(_mm512_and_si512(pair, upper));
  }
}
inline float factor_of(Bf16 value) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(value.bits) << 16);
}
#endif

template <int64_t R, class T>
inline void combine_rows(const T* factor, const T* const* row, int64_t k, int64_t first, T* values) {
  __m512 sums[R][4];
#pragma GCC unroll 4
  for (int64_t r = 0; r < R; ++r) sums[r][0] = sums[r][1] = sums[r][2] = sums[r][3] = _mm512_setzero_ps();
  for (int64_t j = 0; j < k; ++j) {
    __m512 from[4];
    load_64(row[j] + first, from);
#pragma GCC unroll 4
    for (int64_t r = 0; r < R; ++r) {
      const __m512 by = _mm512_set1_ps(factor_of(factor[r * k + j]));
#pragma GCC unroll 4
      for (int64_t i = 0; i < 4; ++i) sums[r][i] = _mm512_fmadd_ps(by, from[i], sums[r][i]);
    }
  }
#pragma GCC unroll 4
  for (int64_t r = 0; r < R; ++r) store_64(sums[r], values + 64 * r);
}

template <class T>
inline void combine_up_to_4(const T* factor, int64_t rows, const T* const* row, int64_t k, int64_t first,
                            T* values) {
  if (rows == 4) return combine_rows<4>(factor, row, k, first, values);
  for (int64_t r = 0; r < rows; ++r) combine_rows<1>(factor + r * k, row, k, first, values + 64 * r);
}

inline void combine_64(const float* factor, int64_t rows, const float* const* row, int64_t k, int64_t first,
                       float* values) {
  combine_up_to_4(factor, rows, row, k, first, values);
}
#if defined(__AVX512BF16__) && defined(__AVX512BW__)
inline void combine_64(const Bf16* factor, int64_t rows, const Bf16* const* row, int64_t k, int64_t first,
                       Bf16* values) {
  combine_up_to_4(factor, rows, row, k, first, values);
}
#endif
