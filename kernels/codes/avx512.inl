// What the AVX-512 levels share. Included inside a level's unnamed namespace.

// 64 k as signed high bytes, then low bytes without sign.
void lay(const int16_t* q, uint8_t* to) {
  for (int64_t k = 0; k < kCodeStep; ++k) {
    to[k] = static_cast<uint8_t>(q[k] >> 8);
    to[kCodeStep + k] = static_cast<uint8_t>(q[k] & 255);
  }
}

struct Halves {
  __m512i low, high;
};
inline Halves halves(const uint8_t* from) {
  const __m512i mask = _mm512_set1_epi8(15), eight = _mm512_set1_epi8(8), v = _mm512_loadu_si512(from);
  return {_mm512_sub_epi8(_mm512_and_si512(v, mask), eight), _mm512_sub_epi8(_mm512_and_si512(_mm512_srli_epi16(v, 4), mask), eight)};
}

void expand(const uint8_t* from, int64_t steps, uint8_t* to) {
  for (int64_t i = 0; i < steps * kCodeBytes / 2; i += 64, to += 128) {
    const Halves both = halves(from + i);
    _mm512_storeu_si512(to, both.low);
    _mm512_storeu_si512(to + 64, both.high);
  }
}

// sums += float(256·high + low)·by·scale of 16 lanes.
inline void finish(__m512i high, __m512i low, __m512 by, const float* scale, float* sums) {
  const __m512 whole = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(high, 8), low));
  _mm512_storeu_ps(sums, _mm512_fmadd_ps(_mm512_mul_ps(whole, by), _mm512_loadu_ps(scale), _mm512_loadu_ps(sums)));
}

// Codes from memory are asked for so many bytes early, into the second-level cache and a few lines at a time. Share of the read rate at T = 4, 8 / 4
// bits: never 0.69 / 0.52, 2 kB into the first level 0.73 / 0.63, 4 kB into the second 0.80 / 0.70, a step's lines in one burst 0.75 / 0.57.
constexpr int64_t kEarly = 4096;
