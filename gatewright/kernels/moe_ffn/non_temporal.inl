// Writes past the caches on x86-64, 32 bytes at a time, aligned. Included inside a level's unnamed namespace;
// <immintrin.h> is there.
inline void store_non_temporal(const void* from, void* to) {
  _mm256_stream_si256(static_cast<__m256i*>(to), _mm256_load_si256(static_cast<const __m256i*>(from)));
}
void store_fence() { _mm_sfence(); }
