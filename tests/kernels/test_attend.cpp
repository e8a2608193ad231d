// Attention of rows that share keys: every level against sums in f64 and against the reference's bits.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "gatewright/base/rng.h"
#include "gatewright/kernels/attend/family.h"
#include "tests/support/kernel_levels.h"

namespace {

using namespace gw::kernels;

std::vector<float> values(int64_t count, uint64_t seed) {
  std::vector<float> out(static_cast<size_t>(count));
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(gw::Rng(seed).uniform(i) * 4 - 2);
  return out;
}

Bf16 cut(float value) { return {static_cast<uint16_t>(__builtin_bit_cast(uint32_t, value) >> 16)}; }

/// Rows that see ever later keys, at most `window` of them; keys lie further apart than they are wide.
template <class T>
struct Tile {
  Tile(int64_t count, int64_t d, int64_t dv, int64_t all, int64_t window, bool sunk)
      : rows(count), width(d), value_width(dv), keys(all) {
    q = values(rows * width, 1), sink = values(rows, 4);
    for (const float x : values(keys * (width + 3), 2)) k.push_back(as(x));
    for (const float x : values(keys * (value_width + 5), 3)) v.push_back(as(x));
    for (int64_t r = 0; r < rows; ++r) {
      last.push_back(std::max<int64_t>(1, keys - rows + 1 + r));
      first.push_back(std::max<int64_t>(0, last.back() - window));
    }
    if (!sunk) sink.clear();
  }
  /// Rows [from, from + count) alone. `ahead`: with keys that were turned before.
  std::vector<float> run(const AttendTable& table, int64_t from, int64_t count, bool ahead = false) const {
    const int64_t begin = first[static_cast<size_t>(from)] / kAttendPad * kAttendPad,
                  n = last[static_cast<size_t>(from + count - 1)] - begin;
    std::vector<float> scores(static_cast<size_t>(count * padded_keys(n))),
        factors(static_cast<size_t>(count)), panel(static_cast<size_t>(width * kAttendPad)),
        y(static_cast<size_t>(count * value_width));
    AttendTile<T> t;
    t.rows = count, t.width = width, t.value_width = value_width, t.q = q.data() + from * width;
    t.k = k.data(), t.v = v.data(), t.k_stride = width + 3, t.v_stride = value_width + 5;
    t.first = first.data() + from, t.last = last.data() + from, t.from = begin, t.keys = n;
    t.sink = sink.empty() ? nullptr : sink.data() + from;
    t.scores = scores.data(), t.panel = panel.data(), t.factors = factors.data(), t.y = y.data();
    std::vector<float> turned(static_cast<size_t>(padded_keys(keys) * width));
    if (ahead) t.turned = turned.data();
    if constexpr (sizeof(T) == 4)
      table.turn_f32(k.data(), width + 3, keys, width, turned.data()), table.f32(t);
    else
      table.turn_bf16(k.data(), width + 3, keys, width, turned.data()), table.bf16(t);
    return y;
  }
  double wanted(int64_t r, int64_t lane) const {
    const auto row = static_cast<size_t>(r);
    double sum = sink.empty() ? 0 : std::exp(double{sink[row]}), mixed = 0;
    for (int64_t j = first[row]; j < last[row]; ++j) {
      double score = 0;
      for (int64_t i = 0; i < width; ++i)
        score +=
            double{q[static_cast<size_t>(r * width + i)]} * real(k[static_cast<size_t>(j * (width + 3) + i)]);
      const double p = std::exp(score);
      sum += p, mixed += p * real(v[static_cast<size_t>(j * (value_width + 5) + lane)]);
    }
    return mixed / sum;
  }
  static T as(float x) {
    if constexpr (sizeof(T) == 4)
      return x;
    else
      return cut(x);
  }
  static double real(float x) { return x; }
  static double real(Bf16 x) { return __builtin_bit_cast(float, static_cast<uint32_t>(x.bits) << 16); }

  int64_t rows, width, value_width, keys;
  std::vector<float> q, sink;
  std::vector<T> k, v;
  std::vector<int64_t> first, last;
};

struct AttendLevel : gw::test::LevelTest<attend_family> {
  /// Rows around the three at once, widths around a vector, keys around those that are turned together; wide
  /// values are taken in shorter blocks.
  template <class Body>
  static void each_size(const Body& body) {
    for (const int64_t rows : {1, 2, 3, 5})
      for (const int64_t width : {1, 8, 20})
        for (const int64_t value_width : {1, 16, 35, 140})
          for (const int64_t keys : {1, 31, 64, 150})
            for (const int64_t window : {7, 1000}) body(rows, width, value_width, keys, window);
  }
};

TEST_P(AttendLevel, IsTheFormulaWithTheReferencesBits) {
  each_size([](int64_t rows, int64_t width, int64_t value_width, int64_t keys, int64_t window) {
    const Tile<float> tile(rows, width, value_width, keys, window, keys % 2 == 1);
    const auto y = tile.run(attend_family()(), 0, rows);
    ASSERT_EQ(y, tile.run(attend_ref, 0, rows)) << rows << " rows, " << keys << " keys, window " << window;
    ASSERT_EQ(y, tile.run(attend_family()(), 0, rows, true)) << "keys turned before, window " << window;
    for (int64_t i = 0; i < rows * value_width; ++i)
      ASSERT_NEAR(y[static_cast<size_t>(i)], tile.wanted(i / value_width, i % value_width), 2e-5)
          << rows << " rows of " << width << ", " << keys << " keys, window " << window;
  });
}

TEST_P(AttendLevel, ReadsBf16) {
  each_size([](int64_t rows, int64_t width, int64_t value_width, int64_t keys, int64_t window) {
    const Tile<Bf16> tile(rows, width, value_width, keys, window, keys % 2 == 1);
    const auto y = tile.run(attend_family()(), 0, rows);
    ASSERT_EQ(y, tile.run(attend_ref, 0, rows)) << rows << " rows, " << keys << " keys, window " << window;
    ASSERT_EQ(y, tile.run(attend_family()(), 0, rows, true)) << "keys turned before, window " << window;
    ASSERT_NEAR(y[0], tile.wanted(0, 0), 2e-5);
  });
}

TEST_P(AttendLevel, RowsHaveTheirBitsAlone) {
  each_size([](int64_t rows, int64_t width, int64_t value_width, int64_t keys, int64_t window) {
    const Tile<float> tile(rows, width, value_width, keys, window, keys % 2 == 1);
    const auto all = tile.run(attend_family()(), 0, rows);
    for (int64_t r = 0; r < rows; ++r) {
      const auto one = tile.run(attend_family()(), r, 1);
      ASSERT_TRUE(std::equal(one.begin(), one.end(), all.begin() + r * value_width))
          << "row " << r << " of " << rows << ", " << keys << " keys, window " << window;
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Levels, AttendLevel, gw::test::all_levels<attend_family>(), gw::test::level_name);

}  // namespace
