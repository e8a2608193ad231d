// Products with codes of 8 and 4 bits: every level against plain loops over the codes, bit by bit, and
// against the reference level.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "gatewright/base/rng.h"
#include "gatewright/kernels/qgemm/family.h"

namespace gw::test::qgemm_cases {
namespace {

using namespace kernels;

struct Problem {
  int64_t bits, steps, block, group;  // the last three in steps of kQgemmStep
  int64_t bytes() const { return bits == 4 ? 1 : 2; }
  int64_t rows() const { return kPanelBytes / bytes(); }
  int64_t k() const { return steps * kQgemmStep; }
};

size_t at(int64_t i) { return static_cast<size_t>(i); }

/// Codes as they are stored, the rows' fixed-point values, scales; the extremes of both among them.
struct Numbers {
  Problem p;
  std::vector<int> code, q;  // [lane][k], without the offset; [row][k]
  std::vector<float> scale, row_scale;

  explicit Numbers(const Problem& problem) : p(problem) {
    const gw::Rng rng = gw::Rng(3).fork("qgemm", static_cast<uint64_t>(p.bits * 100 + p.steps));
    const int offset = 1 << (p.bits - 1), most = static_cast<int>(kMostQ[p.bytes()]);
    uint64_t draw = 0;
    const auto drawn = [&](int low, int high) {
      const double u = rng.uniform(draw++);
      if (u < 0.05) return low;
      if (u > 0.95) return high;
      return low + static_cast<int>(u * (high - low + 1)) % (high - low + 1);
    };
    for (int64_t i = 0; i < kQgemmLanes * p.k(); ++i) code.push_back(drawn(-offset, offset - 1));
    for (int64_t i = 0; i < p.rows() * p.k(); ++i) q.push_back(drawn(-most, most));
    for (int64_t i = 0; i < p.k(); ++i)
      q[at(i)] = most, code[at(i)] = offset - 1;  // the largest sums there are
    const int64_t groups = (p.steps + p.group - 1) / p.group, blocks = (p.steps + p.block - 1) / p.block;
    for (int64_t i = 0; i < groups * kQgemmLanes; ++i)
      scale.push_back(static_cast<float>(rng.uniform(draw++) - 0.5));
    for (int64_t i = 0; i < blocks * p.rows(); ++i)
      row_scale.push_back(static_cast<float>(rng.uniform(draw++)));
  }

  std::vector<uint8_t> panel() const {
    const int offset = 1 << (p.bits - 1);
    std::vector<uint8_t> all(at(p.steps * kQgemmStepBytes * p.bits / 8 + 8192));
    for (int64_t s = 0; s < p.steps; ++s) {
      for (int64_t lane = 0; lane < kQgemmLanes; ++lane) {
        for (int64_t k = 0; k < kQgemmStep; ++k) {
          const auto u = static_cast<uint8_t>(code[at(lane * p.k() + s * kQgemmStep + k)] + offset);
          const int64_t place = k / 4 * 128 + lane * 4 + k % 4;
          if (p.bits == 8) {
            all[at(s * kQgemmStepBytes + place)] = u;
          } else {
            uint8_t& both = all[at(s * kQgemmStepBytes / 2 + place / 128 * 64 + place % 64)];
            both = static_cast<uint8_t>(both | (place % 128 < 64 ? u : u << 4));
          }
        }
      }
    }
    return all;
  }

  /// sums[row][lane] after the blocks, from `start`.
  std::vector<float> answer(int64_t m, float start) const {
    std::vector<float> sums(at(m * kQgemmLanes), start);
    for (int64_t r = 0; r < m; ++r) {
      for (int64_t lane = 0; lane < kQgemmLanes; ++lane) {
        float& sum = sums[at(r * kQgemmLanes + lane)];
        for (int64_t first = 0, block = 0; first < p.steps; first += p.block, ++block) {
          int64_t exact = 0;
          for (int64_t k = first * kQgemmStep; k < std::min(first + p.block, p.steps) * kQgemmStep; ++k)
            exact += q[at(r * p.k() + k)] * code[at(lane * p.k() + k)];
          sum = std::fma(static_cast<float>(exact) * row_scale[at(block * p.rows() + r)],
                         scale[at(first / p.group * kQgemmLanes + lane)], sum);
        }
      }
    }
    return sums;
  }
};

struct Rows {
  std::vector<uint8_t> data;
  std::vector<int32_t> totals;
};

Rows rows_of(const QgemmTable& table, const Numbers& n) {
  const auto& p = n.p;
  Rows rows{std::vector<uint8_t>(at(p.steps * kRowStep)),
            std::vector<int32_t>(at((p.steps + p.block - 1) / p.block * p.rows()))};
  const int offset = 1 << (p.bits - 1);
  for (int64_t r = 0; r < p.rows(); ++r) {
    for (int64_t s = 0; s < p.steps; ++s) {
      int16_t q[kQgemmStep];
      for (int64_t k = 0; k < kQgemmStep; ++k) {
        q[k] = static_cast<int16_t>(n.q[at(r * p.k() + s * kQgemmStep + k)]);
        rows.totals[at(s / p.block * p.rows() + r)] += offset * q[k];
      }
      table.pack_row(q, p.bytes(), rows.data.data() + s * kRowStep + r * p.bytes() * kQgemmStep);
    }
  }
  return rows;
}

std::vector<float> product(const QgemmTable& table, const Numbers& n, int64_t m, bool from_memory,
                           bool expanded) {
  const auto& p = n.p;
  const auto rows = rows_of(table, n);
  auto codes = n.panel();
  if (expanded) {
    std::vector<uint8_t> bytes(at(p.steps * kQgemmStepBytes));
    table.expand(codes.data(), p.steps, bytes.data());
    codes.swap(bytes);
  }
  QuantisedPanel panel{codes.data(), n.scale.data(), expanded ? 8 : p.bits, p.steps,      p.block,
                       p.group,      from_memory,    codes.data(),          codes.data(), 0};
  std::vector<float> sums(at((m + 1) * kQgemmLanes), 0.25f);
  table.tile({p.bytes(), rows.data.data(), n.row_scale.data(), rows.totals.data()}, panel, m, sums.data());
  if (table.release_tiles != nullptr) table.release_tiles();
  for (int64_t lane = 0; lane < kQgemmLanes; ++lane)
    EXPECT_EQ(sums[at(m * kQgemmLanes + lane)], 0.25f) << "wrote behind its rows";
  sums.resize(at(m * kQgemmLanes));
  return sums;
}

TEST(Qgemm, EveryLevelIsThePlainLoopBitByBit) {
  const Problem problems[] = {{8, 8, 8, 8}, {8, 3, 8, 3}, {8, 9, 4, 4}, {8, 5, 1, 1},
                              {4, 2, 2, 2}, {4, 5, 2, 2}, {4, 7, 1, 1}, {4, 3, 2, 6}};
  for (const auto& level : qgemm_family().levels()) {
    if (!level.available) continue;
    qgemm_family().force(level.name);
    const auto& table = qgemm_family()();
    for (const auto& p : problems) {
      const Numbers n(p);
      for (int64_t m = 1; m <= p.rows(); ++m) {
        SCOPED_TRACE(testing::Message() << level.name << ", " << p.bits << " bits, " << p.steps
                                        << " steps in blocks of " << p.block << ", " << m << " rows");
        const auto want = n.answer(m, 0.25f);
        ASSERT_EQ(product(table, n, m, false, false), want);
        ASSERT_EQ(product(table, n, m, true, false), want);
        if (p.bits == 4) {
          ASSERT_EQ(product(table, n, m, false, true), want);
        }
      }
    }
  }
  qgemm_family().force("");
}

}  // namespace
}  // namespace gw::test::qgemm_cases
