// Sums of the vector levels: weighted columns, and the moments of normal equations. Included after wide.inl,
// whose vector types it uses, at the same place.

// C columns share the weights; two chains each, since an addition takes four cycles.
template <int C>
void add_sums(const double* weight, const double* const* columns, int64_t rows, double* sum) {
  Vec even[C] = {}, odd[C] = {};
  int64_t r = 0;
  for (; r + 2 * kLanes <= rows; r += 2 * kLanes) {
    const Vec first = load(weight + r), second = load(weight + r + kLanes);
    for (int j = 0; j < C; ++j) {
      even[j] += first * load(columns[j] + r);
      odd[j] += second * load(columns[j] + r + kLanes);
    }
  }
  for (; r < rows; r += kLanes) {
    for (int j = 0; j < C; ++j) even[j] += load(weight + r) * load(columns[j] + r);
  }
  for (int j = 0; j < C; ++j) sum[j] += total_of(even[j] + odd[j]);
}

void sums(const double* weight, const double* const* columns, int64_t count, int64_t rows, double* sum) {
  int64_t j = 0;
  for (; j + 5 <= count; j += 5) add_sums<5>(weight, columns + j, rows, sum + j);
  for (; j + 3 <= count; j += 3) add_sums<3>(weight, columns + j, rows, sum + j);
  for (; j < count; ++j) add_sums<1>(weight, columns + j, rows, sum + j);
}

// Totals of kLanes vectors at once: a third of the steps that one after the other take.
#if defined(__AVX512F__)
inline Vec totals_of(const Vec (&v)[8]) {
  const auto pair = [](Vec a, Vec b) {
    return __builtin_shuffle(a, b, Int{0, 8, 2, 10, 4, 12, 6, 14}) +
           __builtin_shuffle(a, b, Int{1, 9, 3, 11, 5, 13, 7, 15});
  };
  const auto halve = [](Vec a, Vec b) {
    return __builtin_shuffle(a, b, Int{0, 1, 4, 5, 8, 9, 12, 13}) +
           __builtin_shuffle(a, b, Int{2, 3, 6, 7, 10, 11, 14, 15});
  };
  return halve(halve(pair(v[0], v[1]), pair(v[2], v[3])), halve(pair(v[4], v[5]), pair(v[6], v[7])));
}
#else
inline Vec totals_of(const Vec (&v)[4]) {
  const auto pair = [](Vec a, Vec b) {
    return __builtin_shuffle(a, b, Int{0, 4, 2, 6}) + __builtin_shuffle(a, b, Int{1, 5, 3, 7});
  };
  const Vec left = pair(v[0], v[1]), right = pair(v[2], v[3]);
  return __builtin_shuffle(left, right, Int{0, 1, 4, 5}) + __builtin_shuffle(left, right, Int{2, 3, 6, 7});
}
#endif

/// Where a tile's sums go: its first entry in the first weight's packed triangle, and how far apart the
/// triangles are.
struct Place {
  double* moment;
  int64_t apart, row, column;
};

// Products of R columns with C others, or of R columns among themselves where C is 0, summed with W weights:
// each product serves all weights, and all sums stay in registers.
template <int W, int R, int C>
void tile(const double* weights, int64_t stride, const double* const* left, const double* const* right,
          int64_t rows, const Place& place) {
  constexpr int P = C > 0 ? R * C : R * (R + 1) / 2, kGroups = (W * P + kLanes - 1) / kLanes;
  Vec part[kGroups * kLanes];
  each<kGroups * kLanes>([&](auto i) { part[i.value] = Vec{}; });
  for (int64_t r = 0; r < rows; r += kLanes) {
    Vec a[R], product[P];
    each<R>([&](auto i) { a[i.value] = load(left[i.value] + r); });
    if constexpr (C > 0) {
      each<P>([&](auto p) { product[p.value] = a[p.value / C] * load(right[p.value % C] + r); });
    } else {
      each<P>([&](auto p) {
        constexpr int i = p.value < 1 ? 0 : p.value < 3 ? 1 : 2;
        product[p.value] = a[i] * a[p.value - i * (i + 1) / 2];
      });
    }
    each<W>([&](auto w) {
      const Vec weight = load(weights + w.value * stride + r);
      each<P>([&](auto p) { part[w.value * P + p.value] += weight * product[p.value]; });
    });
  }
  alignas(64) double total[kGroups * kLanes];
  each<kGroups>([&](auto g) {
    Vec group[kLanes];
    each<kLanes>([&](auto i) { group[i.value] = part[g.value * kLanes + i.value]; });
    store(total + g.value * kLanes, totals_of(group));
  });
  // Every index is known to the compiler: as loops over the tile's sizes the 174 additions of a block took 3
  // % of an iteration.
  each<R>([&](auto i) {
    double* to = place.moment + (place.row + i.value) * (place.row + i.value + 1) / 2 + place.column;
    each<W>([&](auto w) {
      constexpr int from = w.value * P + (C > 0 ? i.value * C : i.value * (i.value + 1) / 2);
      each<(C > 0 ? C : i.value + 1)>(
          [&](auto j) { to[w.value * place.apart + j.value] += total[from + j.value]; });
    });
  });
}

using TileFunction = void (*)(const double*, int64_t, const double* const*, const double* const*, int64_t,
                              const Place&);
constexpr int kMostWeights = kLanes == 8 ? 6 : 4;
// Sums of up to four weights fill 24 of 32 registers with six products, of six weights with four; half of
// that for half the registers.
constexpr int run_of(int64_t weights) { return kLanes == 8 && weights <= 4 ? 3 : 2; }

template <int W>
TileFunction tile_of(int64_t height, int64_t width) {
  constexpr int kRun = run_of(W);
  if (width == 0) return height == 3 ? tile<W, kRun, 0> : height == 2 ? tile<W, 2, 0> : tile<W, 1, 0>;
  return height == 2 ? tile<W, 2, kRun> : tile<W, 1, kRun>;
}

TileFunction tile_of(int64_t weights, int64_t height, int64_t width) {
  switch (weights) {
    case 1:
      return tile_of<1>(height, width);
    case 2:
      return tile_of<2>(height, width);
    case 3:
      return tile_of<3>(height, width);
#if defined(__AVX512F__)
    case 5:
      return tile_of<5>(height, width);
    case 6:
      return tile_of<6>(height, width);
#endif
    default:
      return tile_of<4>(height, width);
  }
}

// Columns in runs of two or three: every run among itself, and against each run before it, two columns at a
// time.
template <class Add>
void for_tiles(int64_t count, int64_t run, Add add) {
  for (int64_t i0 = 0; i0 < count; i0 += run) {
    const int64_t end = count - i0 < run ? count : i0 + run;
    add(i0, end - i0, i0, int64_t{0});
    for (int64_t j0 = 0; j0 < i0; j0 += run) {
      for (int64_t i = i0; i < end; i += 2) add(i, end - i < 2 ? end - i : 2, j0, run);
    }
  }
}

void moments(const double* weights, int64_t stride, int64_t many, const double* const* columns, int64_t count,
             int64_t rows, double* moment, int64_t apart) {
  for (int64_t w = 0; w < many;) {
    const int64_t left = many - w, most = left < kMostWeights ? left : kMostWeights,
                  height = left == 7 || left == 8 ? 4 : most;
    for_tiles(count, run_of(height), [&](int64_t i0, int64_t tall, int64_t j0, int64_t wide) {
      tile_of(height, tall, wide)(weights + w * stride, stride, columns + i0, columns + j0, rows,
                                  {moment + w * apart, apart, i0, j0});
    });
    w += height;
  }
}
