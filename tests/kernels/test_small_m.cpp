// Products of few rows, which read a matrix as it lies, and of two panels of rows at once against tiles of
// packed columns: the same bits. Sums of few rows likewise.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "gatewright/kernels/moe_ffn/blocks.h"
#include "tests/support/ffn_case.h"

namespace {

using namespace gw::test;

template <class T>
struct Level {
  std::string name;
  const FfnLevel<T>* table;
};

template <class T>
std::vector<Level<T>> levels_of(gw::KernelFamily<FfnLevel<T>>& family) {
  std::vector<Level<T>> all;
  for (const auto& level : family.levels()) {
    if (!level.available) continue;
    family.force(level.name);
    all.push_back({level.name, &family()});
  }
  family.force("");
  return all;
}

/// Values over many magnitudes, with zeros and numbers below the smallest normal one.
template <class T>
std::vector<T> mixed(uint64_t stream, int64_t count) {
  auto out = values<T>(stream, count, 1);
  for (size_t i = 0; i < out.size(); ++i) {
    const double scale = i % 11 == 0   ? 0
                         : i % 13 == 0 ? 1e-39
                                       : std::pow(2.0, static_cast<double>(i % 7) - 3);
    set(get(out[i]) * scale, out[i]);
  }
  return out;
}

/// One panel of all of `from`, whose lanes have k values each.
template <class T>
std::vector<T> packed(const GemmTable<T>& gemm, const std::vector<T>& from, int64_t k) {
  const auto lanes = static_cast<int64_t>(from.size()) / k;
  std::vector<T> panel(from.size());
  pack_panel(gemm, Columns<T>{from.data(), k, lanes, k, true, nullptr, nullptr}, 0, lanes, 0, k,
             panel.data());
  return panel;
}

template <class T>
struct Product {
  int64_t m, lanes, k;
  bool contiguous, fresh;
};

template <class T>
void expect_bits_of_tiles(const GemmTable<T>& gemm, const Product<T>& p) {
  SCOPED_TRACE(testing::Message() << p.m << " rows, " << p.lanes << " lanes, " << p.k << " k"
                                  << (p.contiguous ? ", k contiguous" : "") << (p.fresh ? ", fresh" : ""));
  const int64_t stride = (p.contiguous ? p.k : p.lanes) + gemm.small_m.k_multiple,
                strides = p.contiguous ? p.lanes : p.k, panels = ceil_div(p.lanes, gemm.cols);
  const auto matrix = mixed<T>(1, strides * stride), left = mixed<T>(2, gemm.rows * p.k);
  std::vector<T> a(static_cast<size_t>(gemm.rows * p.k)), b(static_cast<size_t>(gemm.cols * p.k));
  pack_panel(gemm, Columns<T>{left.data(), p.k, p.m, p.k, true, nullptr, nullptr}, 0, gemm.rows, 0, p.k,
             a.data());
  const int64_t tile = gemm.rows * gemm.cols, units = p.k / gemm.group;
  auto want = values<float>(3, panels * tile, 1), got = want;
  const Columns<T> columns{matrix.data(), stride, p.lanes, p.k, p.contiguous, nullptr, nullptr};
  for (int64_t i = 0; i < panels; ++i) {
    pack_panel(gemm, columns, i * gemm.cols, gemm.cols, 0, p.k, b.data());
    gemm.tile(a.data(), b.data(), units, p.m, {want.data() + i * tile, gemm.cols, p.fresh}, {});
  }
  const auto product = p.contiguous ? gemm.small_m.k : gemm.small_m.lanes_at;
  product(a.data(), matrix.data(), stride, p.lanes, units, p.m, {got.data(), gemm.cols, p.fresh}, nullptr);
  for (int64_t lane = 0; lane < p.lanes; ++lane) {
    for (int64_t r = 0; r < p.m; ++r) {
      const auto at = static_cast<size_t>(lane / gemm.cols * tile + r * gemm.cols + lane % gemm.cols);
      ASSERT_EQ(got[at], want[at]) << "row " << r << ", lane " << lane;
      ASSERT_EQ(std::signbit(got[at]), std::signbit(want[at])) << "row " << r << ", lane " << lane;
    }
  }
}

template <class T>
int compare_levels(gw::KernelFamily<FfnLevel<T>>& family) {
  int compared = 0;
  for (const auto& level : levels_of(family)) {
    SCOPED_TRACE(level.name);
    const auto& gemm = *level.table->gemm;
    for (int64_t m = 1; m <= gemm.small_m.rows; ++m) {
      for (const int64_t lanes :
           {gemm.small_m.lane_multiple, gemm.cols + gemm.small_m.lane_multiple, 3 * gemm.cols}) {
        for (const int64_t k :
             {gemm.small_m.k_multiple, 3 * gemm.small_m.k_multiple, 35 * gemm.small_m.k_multiple}) {
          for (const bool contiguous : {false, true}) {
            for (const bool fresh : {false, true})
              expect_bits_of_tiles<T>(gemm, {m, lanes, k, contiguous, fresh}), ++compared;
          }
        }
      }
    }
  }
  return compared;
}

TEST(SmallM, HaveTheBitsOfTiles) {
  const int f32 = compare_levels(moe_ffn_family()), bf16 = compare_levels(moe_ffn_bf16_family());
  if (f32 + bf16 == 0) GTEST_SKIP() << "no level here has products of few rows";
}

template <class T>
void expect_bits_of_two_tiles(const GemmTable<T>& gemm, int64_t m, int64_t units, bool fresh) {
  SCOPED_TRACE(testing::Message() << m << " rows below, " << units << " units" << (fresh ? ", fresh" : ""));
  const int64_t tile = gemm.rows * gemm.cols, unit_a = gemm.rows * gemm.group * units, k = gemm.group * units;
  const auto a = mixed<T>(1, 2 * unit_a), columns = packed(gemm, mixed<T>(2, gemm.cols * k), k);
  auto want = values<float>(3, 2 * tile, 1), got = want;
  gemm.tile(a.data(), columns.data(), units, gemm.rows, {want.data(), gemm.cols, fresh}, {});
  gemm.tile(a.data() + unit_a, columns.data(), units, m, {want.data() + tile, gemm.cols, fresh}, {});
  const void* const ask[] = {a.data(), columns.data(), want.data()};
  gemm.pair(a.data(), a.data() + unit_a, columns.data(), units, m, {got.data(), gemm.cols, fresh},
            {got.data() + tile, gemm.cols, fresh}, {ask, 3});
  // Rows beyond m are not touched by either.
  EXPECT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)), 0);
}

template <class T>
int compare_pairs(gw::KernelFamily<FfnLevel<T>>& family) {
  int compared = 0;
  for (const auto& level : levels_of(family)) {
    SCOPED_TRACE(level.name);
    const auto& gemm = *level.table->gemm;
    for (int64_t m = 1; gemm.pair != nullptr && m <= gemm.rows; ++m) {
      for (const int64_t units : {1, 2, 9}) {
        for (const bool fresh : {false, true}) expect_bits_of_two_tiles<T>(gemm, m, units, fresh), ++compared;
      }
    }
  }
  return compared;
}

TEST(PairsOfPanels, HaveTheBitsOfTiles) {
  const int f32 = compare_pairs(moe_ffn_family()), bf16 = compare_pairs(moe_ffn_bf16_family());
  if (f32 + bf16 == 0) GTEST_SKIP() << "no level here takes rows by pairs of panels";
}

// A tile's columns may come from memory, its rows be few: neither may show in its bits.
template <class T>
void expect_rows_of_full_tiles(const GemmTable<T>& gemm, int64_t m, int64_t units, bool fresh) {
  SCOPED_TRACE(testing::Message() << m << " rows, " << units << " units" << (fresh ? ", fresh" : ""));
  const int64_t k = gemm.group * units;
  const auto panel = packed(gemm, mixed<T>(1, gemm.rows * k), k),
             columns = packed(gemm, mixed<T>(2, gemm.cols * k), k);
  auto want = values<float>(3, gemm.rows * gemm.cols, 1), got = want;
  const auto before = want;
  gemm.tile(panel.data(), columns.data(), units, gemm.rows, {want.data(), gemm.cols, fresh}, {});
  gemm.tile(panel.data(), columns.data(), units, m, {got.data(), gemm.cols, fresh},
            {nullptr, 0, true, columns.data()});
  EXPECT_EQ(std::memcmp(got.data(), want.data(), static_cast<size_t>(m * gemm.cols) * sizeof(float)), 0);
  EXPECT_EQ(std::memcmp(got.data() + m * gemm.cols, before.data() + m * gemm.cols,
                        static_cast<size_t>((gemm.rows - m) * gemm.cols) * sizeof(float)),
            0);
}

template <class T>
void compare_rows(gw::KernelFamily<FfnLevel<T>>& family) {
  for (const auto& level : levels_of(family)) {
    SCOPED_TRACE(level.name);
    const auto& gemm = *level.table->gemm;
    for (int64_t m = 1; m <= gemm.rows; ++m) {
      for (const int64_t units : {1, 2, 9, 80}) {
        for (const bool fresh : {false, true}) expect_rows_of_full_tiles<T>(gemm, m, units, fresh);
      }
    }
  }
}

TEST(SmallM, HaveTheBitsOfFullTiles) {
  compare_rows(moe_ffn_family());
  compare_rows(moe_ffn_bf16_family());
}

template <class T>
void expect_sums_of_the_reference(const FfnRowsTable<T>& table, const FfnRowsTable<T>& reference) {
  constexpr int64_t kWidth = 2 * 64 + 7, kStride = 3 * 64;
  const auto right = values<T>(4, 12 * kStride, 1), factors = values<T>(5, 4 * 12, 1);
  for (const int64_t rows : {1, 2, 3, 4}) {
    for (const int64_t k : {0, 1, 5, 12}) {
      for (const bool past : {false, true}) {
        SCOPED_TRACE(testing::Message() << rows << " rows of " << k << (past ? ", past the caches" : ""));
        std::vector<const T*> row;
        for (int64_t j = 0; j < k; ++j) row.push_back(right.data() + j * kStride);
        StrictMemory memory;
        const auto answer = [&](const FfnRowsTable<T>& of) {
          auto* to = static_cast<T*>(memory.take(4 * kStride * static_cast<int64_t>(sizeof(T))));
          of.combine(factors.data(), rows, row.data(), k, kWidth, to, kStride, past);
          of.store_fence();
          return to;
        };
        // Untouched values are the pattern with which the memory begins: these must agree as well.
        EXPECT_EQ(std::memcmp(answer(table), answer(reference), static_cast<size_t>(4 * kStride) * sizeof(T)),
                  0);
      }
    }
  }
}

TEST(SmallM, SumsHaveTheBitsOfTheReference) {
  for (const auto& level : levels_of(moe_ffn_family())) {
    SCOPED_TRACE(level.name);
    expect_sums_of_the_reference(*level.table->rows, ffn_rows_ref);
  }
  for (const auto& level : levels_of(moe_ffn_bf16_family())) {
    SCOPED_TRACE(level.name);
    expect_sums_of_the_reference(*level.table->rows, ffn_rows_ref_bf16);
  }
}

TEST(SmallM, SumsPassNanAndInfinity) {
  for (const auto& level : levels_of(moe_ffn_bf16_family())) {
    SCOPED_TRACE(level.name);
    std::vector<Bf16> row(64), to(64), factor(1);
    set(1, factor[0]);
    for (auto& v : row) set(1.5, v);
    set(std::numeric_limits<double>::quiet_NaN(), row[3]),
        set(std::numeric_limits<double>::infinity(), row[40]);
    const Bf16* rows[] = {row.data()};
    level.table->rows->combine(factor.data(), 1, rows, 1, 64, to.data(), 64, false);
    EXPECT_TRUE(std::isnan(get(to[3])));
    EXPECT_EQ(get(to[40]), std::numeric_limits<double>::infinity());
    EXPECT_EQ(get(to[41]), 1.5);
  }
}

}  // namespace
