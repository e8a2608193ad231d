// Products with weights in blocks: every level against plain loops over the codes, bit by bit.
#include <c10/util/Half.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "gatewright/base/rng.h"
#include "gatewright/kernels/block_gemm/family.h"

namespace gw::test::block_gemm_cases {
namespace {

using namespace kernels;

size_t at(int64_t i) { return static_cast<size_t>(i); }

constexpr BlockForm kForms[] = {
    {4, 32, false, 8}, {4, 32, true, 0}, {8, 32, false, 128}, {8, 32, true, 0}, {8, 16, false, 32}};
constexpr int64_t kUnits = 5, kRows = 20, kK = kUnits * kBlockK;

/// Codes, factors and rows in fixed point; the extremes of all of them are among them.
struct Numbers {
  BlockForm form;
  std::vector<int> code, q;                      // [lane][k] without sign; [row][k]
  std::vector<float> scale, minimum, row_scale;  // [k / group][lane], [row][unit]

  explicit Numbers(const BlockForm& f) : form(f) {
    const Rng rng = Rng(5).fork("block_gemm", static_cast<uint64_t>(f.bits * 100 + f.group + f.offset));
    const int top = (1 << f.bits) - 1, most = static_cast<int>(kBlockMost[f.row_bytes() - 1]);
    uint64_t draw = 0;
    const auto drawn = [&](int low, int high) {
      const double u = rng.uniform(draw++);
      if (u < 0.05) return low;
      if (u > 0.95) return high;
      return low + static_cast<int>(u * (high - low + 1)) % (high - low + 1);
    };
    for (int64_t i = 0; i < kBlockLanes * kK; ++i) code.push_back(drawn(0, top));
    for (int64_t i = 0; i < kRows * kK; ++i) q.push_back(drawn(-most, most));
    for (int64_t i = 0; i < kK; ++i) q[at(i)] = most, code[at(i)] = top;  // the largest sums there are
    for (int64_t i = 0; i < kK; ++i) q[at(kK + i)] = -most;
    const auto half = [&] {
      return static_cast<float>(c10::Half(static_cast<float>(rng.uniform(draw++) - 0.5)));
    };
    for (int64_t i = 0; i < kK / f.group * kBlockLanes; ++i)
      scale.push_back(half()), minimum.push_back(half());
    scale[0] = static_cast<float>(c10::Half(3e-7f)), scale[1] = -6.1e-5f;  // below the normal numbers of f16
    scale[1] = static_cast<float>(c10::Half(scale[1]));
    for (int64_t i = 0; i < kRows * kUnits; ++i) row_scale.push_back(static_cast<float>(rng.uniform(draw++)));
  }

  int64_t groups() const { return kBlockK / form.group; }

  std::vector<uint8_t> panel() const {
    std::vector<uint8_t> all(at(kUnits * form.unit_bytes()));
    for (int64_t lane = 0; lane < kBlockLanes; ++lane)
      for (int64_t k = 0; k < kK; ++k) {
        uint8_t* unit = all.data() + k / kBlockK * form.unit_bytes();
        const auto u = static_cast<uint8_t>(code[at(lane * kK + k)]);
        const int64_t within = k % kBlockK;
        if (form.bits == 8) {
          unit[within / 4 * 128 + lane * 4 + within % 4] = u;
        } else {
          uint8_t& both = unit[within / 4 * 64 + lane % 16 * 4 + within % 4];
          both = static_cast<uint8_t>(both | (lane < 16 ? u : u << 4));
        }
      }
    for (int64_t g = 0; g < kK / form.group; ++g)
      for (int64_t lane = 0; lane < kBlockLanes; ++lane) {
        uint8_t* unit = all.data() + g / groups() * form.unit_bytes() + form.code_bytes();
        const auto put = [&](float value, int64_t place) {
          const c10::Half half(value);
          std::memcpy(unit + 2 * (place * kBlockLanes + lane), &half.x, 2);
        };
        put(scale[at(g * kBlockLanes + lane)], g % groups());
        if (form.minimum) put(minimum[at(g * kBlockLanes + lane)], groups() + g % groups());
      }
    return all;
  }

  int32_t total(int64_t row, int64_t g) const {
    int32_t sum = 0;
    for (int64_t k = g * form.group; k < (g + 1) * form.group; ++k) sum += q[at(row * kK + k)];
    return sum;
  }

  std::vector<float> answer(int64_t m, float start) const {
    std::vector<float> sums(at(m * kBlockLanes), start);
    for (int64_t r = 0; r < m; ++r)
      for (int64_t lane = 0; lane < kBlockLanes; ++lane)
        for (int64_t g = 0; g < kK / form.group; ++g) {
          int64_t exact = 0;
          for (int64_t k = g * form.group; k < (g + 1) * form.group; ++k)
            exact += q[at(r * kK + k)] * (code[at(lane * kK + k)] - form.offset);
          const float by = row_scale[at(r * kUnits + g / groups())];
          float& sum = sums[at(r * kBlockLanes + lane)];
          sum = std::fma(static_cast<float>(exact) * by, scale[at(g * kBlockLanes + lane)], sum);
          if (form.minimum)
            sum = std::fma(static_cast<float>(total(r, g)) * by, minimum[at(g * kBlockLanes + lane)], sum);
        }
    return sums;
  }
};

/// Rows as a level lays them out.
struct Rows {
  std::vector<uint8_t> data;
  std::vector<int32_t> totals;
  std::vector<BlockRow> rows;

  Rows(const BlockGemmTable& table, const Numbers& n) {
    const int64_t bytes = n.form.row_bytes();
    data.resize(at(kRows * kK * bytes));
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t g = 0; g < kK / n.form.group; ++g) totals.push_back(n.total(r, g));
      for (int64_t u = 0; u < kUnits; ++u) {
        int16_t q[kBlockK];
        for (int64_t k = 0; k < kBlockK; ++k) q[k] = static_cast<int16_t>(n.q[at(r * kK + u * kBlockK + k)]);
        table.pack_row(q, bytes, data.data() + (r * kK + u * kBlockK) * bytes);
      }
    }
    for (int64_t r = 0; r < kRows; ++r)
      rows.push_back({data.data() + r * kK * bytes, n.row_scale.data() + r * kUnits,
                      totals.data() + r * kK / n.form.group});
  }
};

TEST(BlockGemm, EveryLevelIsThePlainLoopBitByBit) {
  for (const auto& level : block_gemm_family().levels()) {
    if (!level.available) continue;
    block_gemm_family().force(level.name);
    const auto& table = block_gemm_family()();
    for (const auto& form : kForms) {
      const Numbers n(form);
      auto panel = n.panel();
      panel.resize(panel.size() + 4096);  // asked for early, never read
      const Rows rows(table, n);
      for (int64_t m = 1; m <= kRows; ++m) {
        SCOPED_TRACE(testing::Message()
                     << level.name << ", " << form.bits << " bits, groups of " << form.group << ", minimum "
                     << form.minimum << ", " << m << " rows");
        for (const int64_t first : {kUnits, int64_t{2}}) {  // at once, and in two pieces
          std::vector<float> sums(at((m + 1) * kBlockLanes), 0.25f);
          table.tile(form, panel.data(), 0, first, rows.rows.data(), m, sums.data());
          table.tile(form, panel.data() + first * form.unit_bytes(), first, kUnits - first, rows.rows.data(),
                     m, sums.data());
          for (int64_t lane = 0; lane < kBlockLanes; ++lane)
            EXPECT_EQ(sums[at(m * kBlockLanes + lane)], 0.25f) << "wrote behind its rows";
          sums.resize(at(m * kBlockLanes));
          ASSERT_EQ(sums, n.answer(m, 0.25f));
        }
      }
    }
  }
  block_gemm_family().force("");
}

}  // namespace
}  // namespace gw::test::block_gemm_cases
