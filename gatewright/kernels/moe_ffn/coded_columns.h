#pragma once
// Columns in codes, expanded into panels a stretch at a time. Portable code.
#include <algorithm>
#include <type_traits>

#include "gatewright/kernels/codes/codes.h"

namespace gw::kernels {

/// A lane's values from k0 on as f32.
inline void expand_fp8(const CodedRows& m, int64_t row, int64_t k0, int64_t n, float* to) {
  const uint8_t* codes = m.codes + row * m.stride;
  const float* scales = static_cast<const float*>(m.scales) + row / m.rows * m.scale_stride;
  for (int64_t k = k0; k < k0 + n;) {
    const int64_t block = k / m.columns, end = std::min(k0 + n, (block + 1) * m.columns);
    m.table->fp8(codes + k, end - k, scales[block], to + (k - k0));
    k = end;
  }
}

inline void expand_mxfp4(const CodedRows& m, int64_t row, int64_t k0, int64_t n, float* to) {
  const uint8_t* codes = m.codes + row * m.stride;
  const uint8_t* exponents = static_cast<const uint8_t*>(m.scales) + row * m.scale_stride;
  for (int64_t k = k0; k < k0 + n;) {
    const int64_t group = k / kMxfp4Group, within = k % kMxfp4Group, left = k0 + n - k;
    const uint8_t* own = codes + group * kMxfp4Bytes;
    if (within == 0 && left >= kMxfp4Group) {
      const int64_t whole = left / kMxfp4Group;
      m.table->mxfp4(own, exponents + group, whole, to + (k - k0));
      k += whole * kMxfp4Group;
      continue;
    }
    float one[kMxfp4Group];
    m.table->mxfp4(own, exponents + group, 1, one);
    const int64_t count = std::min(kMxfp4Group - within, left);
    std::copy_n(one + within, count, to + (k - k0));
    k += count;
  }
}

inline void expand_lane(const CodedRows& m, int64_t lane, int64_t k0, int64_t n, float* to) {
  const int64_t row = m.first + lane * m.step;
  if (m.form == CodeForm::fp8) return expand_fp8(m, row, k0, n, to);
  expand_mxfp4(m, row, k0, n, to);
}

/// One panel, as pack_panel() makes it from expanded values: the same bits.
template <class T>
void pack_coded(const GemmTable<T>& gemm, const CodedRows& m, int64_t lane0, int64_t count, int64_t width,
                int64_t k0, int64_t k, T* panel) {
  constexpr int64_t kMost = 64;  // lanes of a panel, and k of a stretch: a multiple of every group
  T values[kMost * kMost];
  const T* lanes[kMost];
  for (int64_t i = 0; i < kMost; ++i) lanes[i] = values + i * kMost;
  for (int64_t done = 0; done < k; done += kMost) {
    const int64_t n = std::min(kMost, k - done);
    for (int64_t i = 0; i < count; ++i) {
      T* const to = values + i * kMost;
      if constexpr (std::is_same_v<T, float>) {
        expand_lane(m, lane0 + i, k0 + done, n, to);
      } else {
        float row[kMost];
        expand_lane(m, lane0 + i, k0 + done, n, row);
        if constexpr (std::is_same_v<T, Bf16>)
          m.table->narrow(row, n, to);
        else
          std::copy_n(row, n, to);
      }
    }
    gemm.pack_k(lanes, count, width, n, panel + done * width);
  }
}

}  // namespace gw::kernels
