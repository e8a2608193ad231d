// What AVX2 levels of products with codes share: splitting codes, sums of products. Included inside a level's
// unnamed namespace after <immintrin.h> and <cstring>.

constexpr int64_t kMostRows = 6, kWideRows = 3;  // most rows of 16 and of 32 lanes

// K values of a row. 16 bits: k 0, 2, 1, 3 of each four, as the split codes come.
template <int64_t K>
void pack_row(const int16_t* q, int64_t bytes, uint8_t* to) {
  if (bytes == 1) {
    for (int64_t k = 0; k < K; ++k) to[k] = static_cast<uint8_t>(q[k]);
    return;
  }
  for (int64_t k = 0; k < K; k += 4, to += 8) {
    const int16_t four[4] = {q[k], q[k + 2], q[k + 1], q[k + 3]};
    std::memcpy(to, four, 8);
  }
}

inline __m256i load(const uint8_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

inline __m256i low_halves(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
inline __m256i high_halves(__m256i v) { return low_halves(_mm256_srli_epi16(v, 4)); }

inline __m256i four_bytes(const uint8_t* from) {
  int32_t four;
  std::memcpy(&four, from, 4);
  return _mm256_set1_epi32(four);
}

// In assembly: left to itself g++ 12 adds up products of several k first, and every sum waits on the stack.
inline void add_words(__m256i& sum, __m256i codes, __m256i q) {
  __m256i products;
  asm volatile("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(products) : "x"(codes), "x"(q));
}
inline void add_bytes(__m256i& sum, __m256i codes, __m256i q) {
  __m256i products;
  asm volatile("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0"
               : "+x"(sum), "=&x"(products)
               : "x"(codes), "x"(q));
}

// Which 8 of the 32 lanes vector v of pass `pass` holds. Two vectors of 4 bits come from the same bytes: from
// both halves of the lanes.
template <int64_t kBits, int64_t V>
constexpr int64_t eight_of(int64_t pass, int64_t v) {
  if (V == 4) return v;
  return kBits == 4 ? pass + 2 * v : 2 * pass + v;
}

// A byte for each code of four k.
template <int64_t kBits, int64_t V>
inline void load_codes(const uint8_t* quad, int64_t pass, __m256i (&codes)[V]) {
  if constexpr (kBits == 8) {
#pragma GCC unroll 4
    for (int64_t v = 0; v < V; ++v) codes[v] = load(quad + 32 * eight_of<8, V>(pass, v));
  } else if constexpr (V == 2) {
    const __m256i both = load(quad + 32 * pass);
    codes[0] = low_halves(both), codes[1] = high_halves(both);
  } else {
    const __m256i first = load(quad), second = load(quad + 32);
    codes[0] = low_halves(first), codes[1] = low_halves(second);
    codes[2] = high_halves(first), codes[3] = high_halves(second);
  }
}

template <int64_t M, int64_t V>
using Accumulators = __m256i[M][V];

template <int64_t M, int64_t V>
inline void clear(Accumulators<M, V>& sums) {
#pragma GCC unroll 6
  for (int64_t r = 0; r < M; ++r) {
#pragma GCC unroll 4
    for (int64_t v = 0; v < V; ++v) sums[r][v] = _mm256_setzero_si256();
  }
}
