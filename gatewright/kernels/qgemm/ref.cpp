#include <cmath>
#include <cstring>

#include "gatewright/kernels/qgemm/qgemm.h"

namespace gw::kernels {
namespace {

void pack_row(const int16_t* q, int64_t bytes, uint8_t* to) {
  for (int64_t k = 0; k < kQgemmStep; ++k)
    std::memcpy(to + k * bytes, &q[k], static_cast<size_t>(bytes));  // the low byte first
}

int16_t value(const uint8_t* from, int64_t bytes) {
  if (bytes == 1) return static_cast<int8_t>(*from);
  int16_t q;
  std::memcpy(&q, from, sizeof q);
  return q;
}

void expand(const uint8_t* from, int64_t steps, uint8_t* to) {
  for (int64_t i = 0; i < steps * kQgemmStepBytes / 2; ++i) {
    uint8_t* both = to + i / 64 * 128 + i % 64;
    both[0] = from[i] & 15;
    both[64] = from[i] >> 4;
  }
}

// Sums of one step for one row.
void add_step(const int16_t* q, const uint8_t* codes, int64_t* sums) {
  for (int64_t lane = 0; lane < kQgemmLanes; ++lane) {
    const uint8_t* own = codes + lane * 4;
    for (int64_t k = 0; k < kQgemmStep; ++k) sums[lane] += q[k] * own[k / 4 * 128 + k % 4];
  }
}

void tile(const QuantisedRows& rows, const QuantisedPanel& p, int64_t m, float* sums) {
  uint8_t expanded[kQgemmStepBytes];
  for (int64_t r = 0; r < m; ++r) {
    for (int64_t first = 0, block = 0; first < p.steps; first += p.block, ++block) {
      int64_t accumulators[kQgemmLanes] = {};
      for (int64_t s = first; s < first + p.block && s < p.steps; ++s) {
        const uint8_t* codes = p.codes + s * kQgemmStepBytes * p.bits / 8;
        if (p.bits == 4) expand(codes, 1, expanded), codes = expanded;
        int16_t q[kQgemmStep];
        const uint8_t* row = rows.data + s * kRowStep + r * rows.bytes * kQgemmStep;
        for (int64_t k = 0; k < kQgemmStep; ++k) q[k] = value(row + k * rows.bytes, rows.bytes);
        add_step(q, codes, accumulators);
      }
      const float* scale = p.scales + first / p.group * kQgemmLanes;
      const int64_t at = block * kPanelBytes / rows.bytes + r;
      for (int64_t lane = 0; lane < kQgemmLanes; ++lane) {
        float& sum = sums[r * kQgemmLanes + lane];
        sum = std::fma(static_cast<float>(accumulators[lane] - rows.totals[at]) * rows.scales[at],
                       scale[lane], sum);
      }
    }
  }
}

}  // namespace

const QgemmTable qgemm_ref{pack_row, tile, nullptr, expand};

}  // namespace gw::kernels
