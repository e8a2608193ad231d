// What the AVX-512 levels share. Included inside a level's unnamed namespace.

// 64 k as high bytes, then low bytes, all with a sign; of rows of one byte, those.
void pack_row(const int16_t* q, int64_t bytes, uint8_t* to) {
  if (bytes == 1) {
    for (int64_t k = 0; k < kQgemmStep; ++k) to[k] = static_cast<uint8_t>(q[k]);
    return;
  }
  for (int64_t k = 0; k < kQgemmStep; ++k) {
    const int8_t low = static_cast<int8_t>(q[k] & 255);
    to[k] = static_cast<uint8_t>((q[k] - low) >> 8);
    to[kQgemmStep + k] = static_cast<uint8_t>(low);
  }
}

struct Halves {
  __m512i low, high;
};
inline Halves halves(const uint8_t* from) {
  const __m512i mask = _mm512_set1_epi8(15), v = _mm512_loadu_si512(from);
  return {_mm512_and_si512(v, mask), _mm512_and_si512(_mm512_srli_epi16(v, 4), mask)};
}

void expand(const uint8_t* from, int64_t steps, uint8_t* to) {
  for (int64_t i = 0; i < steps * kQgemmStepBytes / 2; i += 64, to += 128) {
    const Halves both = halves(from + i);
    _mm512_storeu_si512(to, both.low);
    _mm512_storeu_si512(to + 64, both.high);
  }
}

inline __m512i both(__m512i high, __m512i low) { return _mm512_add_epi32(_mm512_slli_epi32(high, 8), low); }

// sums += float(accumulators - total)·by·scale of 16 lanes.
inline void finish(__m512i accumulators, __m512i total, __m512 by, __m512 scale, float* sums) {
  const __m512 exact = _mm512_cvtepi32_ps(_mm512_sub_epi32(accumulators, total));
  _mm512_storeu_ps(sums, _mm512_fmadd_ps(_mm512_mul_ps(exact, by), scale, _mm512_loadu_ps(sums)));
}

// Codes from memory are asked for so many bytes early, into the second-level cache and a few lines at a time.
// Share of the read rate at T = 4, 8 / 4 bits: never 0.69 / 0.52, 2 kB into the first level 0.73 / 0.63, 4 kB
// into the second 0.80 / 0.70, a step's lines in one burst 0.75 / 0.57.
constexpr int64_t kPrefetchDistance = 6144;

// What is read kPrefetchDistance bytes after step s: of this panel, or of the next, which may lie elsewhere.
// A chunk of 32 kB that starts cold takes a third longer.
inline const uint8_t* prefetch_address(const QuantisedPanel& p, int64_t s, int64_t bytes) {
  const int64_t ahead = s + kPrefetchDistance / bytes;
  return ahead < p.steps ? p.codes + ahead * bytes : p.next + (ahead - p.steps) * bytes;
}

// One line into the second-level cache, here and not earlier: left to itself g++ gathers a step's in front of
// it.
inline void prefetch_line(const uint8_t* line) { asm volatile("prefetcht1 %0" : : "m"(*line)); }

// The scales that belong to codes kPrefetchDistance ahead, and some more: without them every block waits for
// its own.
inline void prefetch_scales(const float* scale) {
  __builtin_prefetch(scale + 4 * kQgemmLanes, 0, 3);
  __builtin_prefetch(scale + 4 * kQgemmLanes + 16, 0, 3);
}
