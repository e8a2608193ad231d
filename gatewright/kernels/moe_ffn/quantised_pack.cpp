#include <algorithm>

#include "gatewright/kernels/moe_ffn/quantised_ffn.h"

namespace gw::kernels {
namespace {

/// Where a step keeps (lane, k), a byte per code.
int64_t place(int64_t lane, int64_t k) { return k / 4 * 128 + lane * 4 + k % 4; }

/// Step `step` of the panel that begins at lane0 of one expert; lanes and k beyond the matrix are code 0.
void pack_step(const int8_t* codes, int64_t lanes, int64_t k, int64_t lane0, int64_t step, int64_t bits,
               uint8_t* to) {
  const int offset = 1 << (bits - 1);
  uint8_t ordered[kQgemmStepBytes];
  std::fill_n(ordered, kQgemmStepBytes, static_cast<uint8_t>(offset));
  const int64_t first = step * kQgemmStep, count = std::min(kQgemmStep, k - first);
  for (int64_t lane = 0; lane < std::min(kQgemmLanes, lanes - lane0); ++lane) {
    for (int64_t j = 0; j < count; ++j)
      ordered[place(lane, j)] = static_cast<uint8_t>(codes[(lane0 + lane) * k + first + j] + offset);
  }
  if (bits == 8) {
    std::copy_n(ordered, kQgemmStepBytes, to);
  } else {
    for (int64_t i = 0; i < kQgemmStepBytes / 2; ++i) {
      const uint8_t* both = ordered + i / 64 * 128 + i % 64;
      to[i] = static_cast<uint8_t>(both[0] | both[64] << 4);
    }
  }
}

}  // namespace

QuantisedSize quantised_size(int64_t experts, int64_t lanes, int64_t k, int64_t bits, int64_t group) {
  const int64_t panels = experts * ceil_div(lanes, kQgemmLanes);
  return {panels * ceil_div(k, kQgemmStep) * kQgemmStepBytes * bits / 8,
          panels * ceil_div(k, group) * kQgemmLanes};
}

void pack_quantised(const int8_t* codes, const float* scales, int64_t experts, int64_t lanes, int64_t k,
                    int64_t bits, int64_t group, uint8_t* to_codes, float* to_scales, ThreadPool& pool) {
  const int64_t panels = ceil_div(lanes, kQgemmLanes), steps = ceil_div(k, kQgemmStep),
                groups = ceil_div(k, group), bytes = kQgemmStepBytes * bits / 8;
  pool.run(experts * panels, [&](int64_t task, int) {
    const int64_t expert = task / panels, lane0 = task % panels * kQgemmLanes;
    for (int64_t s = 0; s < steps; ++s)
      pack_step(codes + expert * lanes * k, lanes, k, lane0, s, bits, to_codes + (task * steps + s) * bytes);
    float* to = to_scales + task * groups * kQgemmLanes;
    for (int64_t g = 0; g < groups; ++g) {
      for (int64_t i = 0; i < kQgemmLanes; ++i)
        to[g * kQgemmLanes + i] = lane0 + i < lanes ? scales[(expert * lanes + lane0 + i) * groups + g] : 0;
    }
  });
}

}  // namespace gw::kernels
