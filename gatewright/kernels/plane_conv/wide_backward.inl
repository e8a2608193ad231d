// What training needs beside the convolution. The including file gives, beyond what wide.inl asks for,
// kProducts (inputs that meet four gradients at once), sum_of_lanes, first_pairs, second_pairs, and choices
// between lanes.

// The matrix product of gradients and shifted inputs over the pixels: a tile of kOut gradients × kIn inputs
// stays in registers while all pixels pass by.
template <int kOut, int kIn>
void products(const PlaneGradient& g, int64_t o, int64_t j) {
  Vec sum[kOut][kIn];
  const float* x[kIn];
#pragma GCC unroll 8
  for (int k = 0; k < kIn; ++k) {
    x[k] = g.in + (j + k) / g.taps * g.in_plane + g.tap[(j + k) % g.taps];
#pragma GCC unroll 8
    for (int i = 0; i < kOut; ++i) sum[i][k] = broadcast(0);
  }
  const float* gradient = g.gradient + o * g.out_plane;
  for (int64_t p = 0; p < g.pixels; p += kLanes) {
    const auto bits = static_cast<unsigned>(g.lanes[p / kPlaneLanes] >> (p % kPlaneLanes));
    const Mask counts = only(bits & before(g.pixels - p));
    Vec shifted[kIn];
#pragma GCC unroll 8
    for (int k = 0; k < kIn; ++k) shifted[k] = load_where(x[k] + p, counts);
#pragma GCC unroll 8
    for (int i = 0; i < kOut; ++i) {
      const Vec d = load_where(gradient + i * g.out_plane + p, counts);
#pragma GCC unroll 8
      for (int k = 0; k < kIn; ++k) sum[i][k] = fma(d, shifted[k], sum[i][k]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kOut; ++i) {
#pragma GCC unroll 8
    for (int k = 0; k < kIn; ++k)
      g.weight[(o + i) * g.in_channels * g.taps + j + k] = sum_of_lanes(sum[i][k]);
  }
}

template <int kOut>
void all_products(const PlaneGradient& g, int64_t o) {
  const int64_t inputs = g.in_channels * g.taps;
  int64_t j = 0;
  for (; j + kProducts <= inputs; j += kProducts) products<kOut, kProducts>(g, o, j);
  if constexpr (kProducts > 3) {
    for (; j + 3 <= inputs; j += 3) products<kOut, 3>(g, o, j);
  }
  for (; j < inputs; ++j) products<kOut, 1>(g, o, j);
}

void weight_gradient(const PlaneGradient& g) {
  int64_t o = 0;
  for (; o + 4 <= g.out_channels; o += 4) all_products<4>(g, o);
  for (; o + 2 <= g.out_channels; o += 2) all_products<2>(g, o);
  for (; o < g.out_channels; ++o) all_products<1>(g, o);
}

template <bool kGated>
void copy_rows_of(const PlaneRows& r) {
  const float *from = r.from, *gate = r.gate;
  float* to = r.to;
  const int64_t rows = r.rows, width = r.width, from_row = r.from_row, to_row = r.to_row;
  const unsigned bits = before(width);
  const Mask narrow = only(bits);
  for (int64_t i = 0; i < rows; ++i, from += from_row, to += to_row) {
    for (int64_t k = 0; k < width; k += kLanes) {
      const int64_t j = whole_from(k, width);
      Vec v = width < kLanes ? load_where(from, narrow) : load(from + j);
      if constexpr (kGated)
        v = drop(v, not_positive(width < kLanes ? load_where(gate, narrow) : load(gate + j)));
      store_lanes(to + j, v, bits);
    }
    if constexpr (kGated) gate += from_row;
  }
}

void copy_rows(const PlaneRows& r) { r.gate != nullptr ? copy_rows_of<true>(r) : copy_rows_of<false>(r); }

void max_pool2_gradient(const float* in, int64_t in_row, const float* dy, int64_t dy_row, float* dx,
                        int64_t height, int64_t width) {
  for (int64_t i = 0; i < height; ++i, in += 2 * in_row, dx += 2 * in_row, dy += dy_row) {
    for (int64_t k = 0; k < width; k += kLanes) {
      const int64_t j = whole_from(k, width), left = 2 * (width - j);
      const Pairs top = load_pairs(in + 2 * j, left), bottom = load_pairs(in + in_row + 2 * j, left);
      const Mask second = wins(top.odd_ones, top.even_ones);
      Vec best = either(top.even_ones, top.odd_ones, second);
      const Mask third = wins(bottom.even_ones, best);
      best = either(best, bottom.even_ones, third);
      const Mask fourth = wins(bottom.odd_ones, best);
      const Vec d = load_lanes(dy + j, before(width - j));
      const Vec a = drop(drop(drop(d, second), third), fourth),
                b = keep(d, without(without(second, third), fourth));
      const Vec c = keep(d, without(third, fourth)), e = keep(d, fourth);
      float* to = dx + 2 * j;
      store_lanes(to, first_pairs(a, b), before(left));
      store_lanes(to + kLanes, second_pairs(a, b), before(left - kLanes));
      store_lanes(to + in_row, first_pairs(c, e), before(left));
      store_lanes(to + in_row + kLanes, second_pairs(c, e), before(left - kLanes));
    }
  }
}
