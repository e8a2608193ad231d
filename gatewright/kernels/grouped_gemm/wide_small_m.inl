// Few rows against a matrix that is used once: read as it lies, no panels of columns. Included after
// wide.inl, whose tile's bits these have.

constexpr int64_t kDeep = kLanes;  // units of k per turn

inline float* at_lane(const Sums<float>& c, int64_t lane) {
  return c.at + lane / kCols * kTileRows * kCols + lane % kCols;
}

// k contiguous: squares of kLanes lanes × kLanes units are transposed in registers and used there. `far`: the
// next lanes.
template <int64_t M>
void few_rows_k(const uint32_t* a, const uint32_t* b, int64_t stride, int64_t units, float* c, bool fresh,
                const uint32_t* far) {
  Vector sums[M];
  for (int64_t r = 0; r < M; ++r) sums[r] = fresh ? zero_sums() : load_sums(c + r * kCols);
  for (int64_t u = 0; u < units; u += kLanes, a += kLanes * kTileRows) {
    Units square[kLanes];
    for (int64_t i = 0; i < kLanes; ++i) {
      square[i] = load_units(b + i * stride + u);
      __builtin_prefetch(far + i * stride + u, 0, 2);
    }
    transpose(square);
    for (int64_t k = 0; k < kLanes; ++k) {
      const Factor right = prepare(square[k]);
#pragma GCC unroll 14
      for (int64_t r = 0; r < M; ++r)
        sums[r] = dot(sums[r], prepare(broadcast_unit(a + k * kTileRows + r)), right);
    }
  }
  for (int64_t r = 0; r < M; ++r) store_sums(c + r * kCols, sums[r]);
}

template <class T>
void few_k(const T* a, const T* b, int64_t stride, int64_t lanes, int64_t units, int64_t m, Sums<float> c,
           const T* next) {
  constexpr int64_t group = 4 / sizeof(T);
  for (int64_t lane = 0; lane < lanes; lane += kLanes) {
    const T* here = b + lane * stride;
    const T* far = lane + kLanes < lanes ? here + kLanes * stride : next == nullptr ? here : next;
    with_rows(m, [&](auto rows) {
      few_rows_k<rows.count>(reinterpret_cast<const uint32_t*>(a), reinterpret_cast<const uint32_t*>(here),
                             stride / group, units, at_lane(c, lane), c.fresh,
                             reinterpret_cast<const uint32_t*>(far));
    });
  }
}

// Lanes contiguous at each k, f32: kDeep k at a time over all lanes, so that memory is read in long rows.
template <int64_t M>
void few_rows_lanes(const uint32_t* a, const uint32_t* b, int64_t stride, int64_t lanes, Sums<float> c,
                    bool fresh, const uint32_t* far) {
  for (int64_t lane = 0; lane < lanes; lane += kLanes) {
    float* const to = at_lane(c, lane);
    Vector sums[M];
    for (int64_t r = 0; r < M; ++r) sums[r] = fresh ? zero_sums() : load_sums(to + r * kCols);
    for (int64_t k = 0; k < kDeep; ++k) {
      const Factor right = prepare(load_units(b + k * stride + lane));
      __builtin_prefetch(far + k * stride + lane, 0, 2);
#pragma GCC unroll 14
      for (int64_t r = 0; r < M; ++r)
        sums[r] = dot(sums[r], prepare(broadcast_unit(a + k * kTileRows + r)), right);
    }
    for (int64_t r = 0; r < M; ++r) store_sums(to + r * kCols, sums[r]);
  }
}

void few_lanes(const float* a, const float* b, int64_t stride, int64_t lanes, int64_t units, int64_t m,
               Sums<float> c, const float* next) {
  for (int64_t u = 0; u < units; u += kDeep) {
    const float* here = b + u * stride;
    const float* far = u + kDeep < units ? here + kDeep * stride : next == nullptr ? here : next;
    with_rows(m, [&](auto rows) {
      few_rows_lanes<rows.count>(reinterpret_cast<const uint32_t*>(a + u * kTileRows),
                                 reinterpret_cast<const uint32_t*>(here), stride, lanes, c, c.fresh && u == 0,
                                 reinterpret_cast<const uint32_t*>(far));
    });
  }
}
