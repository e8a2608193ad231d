#include <cmath>
#include <cstring>

#include "gatewright/kernels/block_gemm/block_gemm.h"

namespace gw::kernels {
namespace {

void pack_row(const int16_t* q, int64_t bytes, uint8_t* to) {
  for (int64_t k = 0; k < kBlockK; ++k)
    std::memcpy(to + k * bytes, &q[k], static_cast<size_t>(bytes));  // the low byte first
}

int32_t value(const uint8_t* row, int64_t k, int64_t bytes) {
  if (bytes == 1) return static_cast<int8_t>(row[k]);
  int16_t q;
  std::memcpy(&q, row + 2 * k, sizeof q);
  return q;
}

float half(const uint8_t* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const float size = exponent == 31  ? (fraction == 0 ? INFINITY : NAN)
                     : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                     : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return (bits & 0x8000) != 0 ? -size : size;
}

int32_t code(const BlockForm& form, const uint8_t* unit, int64_t lane, int64_t k) {
  if (form.bits == 8) return unit[k / 4 * 128 + lane * 4 + k % 4];
  const uint8_t both = unit[k / 4 * 64 + lane % 16 * 4 + k % 4];
  return lane < 16 ? both & 15 : both >> 4;
}

// One group of one unit for one row.
void add_group(const BlockForm& form, const uint8_t* unit, int64_t group, const BlockRow& row, int64_t block,
               float* sums) {
  const int64_t groups = kBlockK / form.group, bytes = form.row_bytes();
  const uint8_t *scales = unit + form.code_bytes() + group * 2 * kBlockLanes,
                *minima = scales + groups * 2 * kBlockLanes, *q = row.q + block * kBlockK * bytes;
  const int32_t total = row.totals[block * groups + group];
  const float by = row.scales[block], shift = static_cast<float>(total) * by;
  for (int64_t lane = 0; lane < kBlockLanes; ++lane) {
    int32_t exact = -form.offset * total;
    for (int64_t k = group * form.group; k < (group + 1) * form.group; ++k)
      exact += value(q, k, bytes) * code(form, unit, lane, k);
    sums[lane] = std::fma(static_cast<float>(exact) * by, half(scales + 2 * lane), sums[lane]);
    if (form.minimum) sums[lane] = std::fma(shift, half(minima + 2 * lane), sums[lane]);
  }
}

void tile(const BlockForm& form, const uint8_t* panel, int64_t first, int64_t count, const BlockRow* rows,
          int64_t m, float* sums) {
  for (int64_t r = 0; r < m; ++r)
    for (int64_t unit = 0; unit < count; ++unit)
      for (int64_t group = 0; group < kBlockK / form.group; ++group)
        add_group(form, panel + unit * form.unit_bytes(), group, rows[r], first + unit,
                  sums + r * kBlockLanes);
}

}  // namespace

const BlockGemmTable block_gemm_ref{pack_row, tile};

}  // namespace gw::kernels
