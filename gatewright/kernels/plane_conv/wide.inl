// The convolution of a vector level: a tile of output channels × vectors of pixels stays in registers while
// all input channels and taps pass by. A tile of 4 × 6 vectors reads 6 vectors and 4 weights for 24
// multiply-adds. The including file gives Vec, kLanes, kSums (accumulators that its registers hold), load,
// broadcast, fma, add, relu, load_lanes and store_lanes; for the pool also larger, even and odd.

template <int kChannels, int kVectors>
inline __attribute__((always_inline)) void finish(const PlaneConv& c, int64_t o, int64_t v,
                                                  Vec (&sum)[kChannels][kVectors]) {
#pragma GCC unroll 8
  for (int i = 0; i < kChannels; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) {
      const int64_t p = (v + j) * kLanes, at = (o + i) * c.out_plane + p;
      const auto bits = static_cast<unsigned>(c.lanes[p / kPlaneLanes] >> (p % kPlaneLanes));
      Vec y = sum[i][j];
      if (c.residual != nullptr) y = add(y, load_lanes(c.residual + at, bits));
      store_lanes(c.out + at, c.relu ? relu(y) : y, bits);
    }
  }
}

template <int kChannels, int kVectors>
void tile(const PlaneConv& c, const float* weight, int64_t o, int64_t v) {
  Vec sum[kChannels][kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kChannels; ++i) {
    const Vec start = broadcast(c.bias != nullptr ? c.bias[o + i] : 0);
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) sum[i][j] = start;
  }
  const float* plane = c.in + v * kLanes;
  for (int64_t channel = 0; channel < c.in_channels; ++channel, plane += c.in_plane) {
    for (int64_t t = 0; t < c.taps; ++t, weight += kChannels) {
      Vec x[kVectors];
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) x[j] = load(plane + c.tap[t] + j * kLanes);
#pragma GCC unroll 8
      for (int i = 0; i < kChannels; ++i) {
        const Vec w = broadcast(weight[i]);
#pragma GCC unroll 8
        for (int j = 0; j < kVectors; ++j) sum[i][j] = fma(w, x[j], sum[i][j]);
      }
    }
  }
  finish<kChannels, kVectors>(c, o, v, sum);
}

template <int kChannels>
void all_pixels(const PlaneConv& c, const float* weight, int64_t o) {
  constexpr int kMost =
      kSums / kChannels < kWidest ? (kSums / kChannels > 0 ? kSums / kChannels : 1) : kWidest;
  const int64_t vectors = (c.pixels + kLanes - 1) / kLanes;
  int64_t v = 0;
  for (; v + kMost <= vectors; v += kMost) tile<kChannels, kMost>(c, weight, o, v);
  if constexpr (kMost > 4) {
    if (v + 4 <= vectors) tile<kChannels, 4>(c, weight, o, v), v += 4;
  }
  if constexpr (kMost > 2) {
    if (v + 2 <= vectors) tile<kChannels, 2>(c, weight, o, v), v += 2;
  }
  for (; v < vectors; ++v) tile<kChannels, 1>(c, weight, o, v);
}

void convolve(const PlaneConv& c, int64_t first, int64_t last) {
  const float* weight = c.weight + first * c.in_channels * c.taps;
  for (int64_t o = first; o < last;) {
    const int64_t block = plane_block(last - o, c.pixels);
    if (block == 8)
      all_pixels<8>(c, weight, o);
    else if (block == 4)
      all_pixels<4>(c, weight, o);
    else if (block == 2)
      all_pixels<2>(c, weight, o);
    else
      all_pixels<1>(c, weight, o);
    o += block, weight += block * c.in_channels * c.taps;
  }
}

/// Bits of the lanes of a vector that lie before the end.
inline unsigned before(int64_t left) { return left >= kLanes ? ~0u : left > 0 ? (1u << left) - 1 : 0; }

/// Where the vector that holds value k of a row starts: a row's last vector reaches back over the one before
/// it, as rows are short (28, 14 values) and masks and partial stores cost as much as two whole vectors on
/// AVX2. Rows narrower than a vector are one with a mask.
inline int64_t whole_from(int64_t k, int64_t width) {
  return k + kLanes <= width || width < kLanes ? k : width - kLanes;
}

/// 2·kLanes neighbouring values of which `left` exist, even and odd ones apart.
struct Pairs {
  Vec even_ones, odd_ones;
};
inline Pairs load_pairs(const float* x, int64_t left) {
  const bool whole = left >= 2 * kLanes;
  const Vec first = whole ? load(x) : load_lanes(x, before(left));
  const Vec second = whole ? load(x + kLanes) : load_lanes(x + kLanes, before(left - kLanes));
  return {even(first, second), odd(first, second)};
}

void max_pool2(const float* in, int64_t in_row, float* out, int64_t out_row, int64_t height, int64_t width) {
  for (int64_t i = 0; i < height; ++i, in += 2 * in_row, out += out_row) {
    for (int64_t k = 0; k < width; k += kLanes) {
      const int64_t j = whole_from(k, width);
      const Pairs top = load_pairs(in + 2 * j, 2 * (width - j));
      const Pairs bottom = load_pairs(in + in_row + 2 * j, 2 * (width - j));
      store_lanes(out + j,
                  larger(larger(top.even_ones, bottom.even_ones), larger(top.odd_ones, bottom.odd_ones)),
                  before(width - j));
    }
  }
}

void split2(const float* x, int64_t count, float* to_even, float* to_odd) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const Vec first = load(x + 2 * i), second = load(x + 2 * i + kLanes);
    store_lanes(to_even + i, even(first, second), before(count - i));
    store_lanes(to_odd + i, odd(first, second), before(count - i));
  }
}
