#pragma once
// Matrices as products take them: lanes by k, packed before, or packed on the way. Portable code.
#include <algorithm>

#include "gatewright/kernels/moe_ffn/coded_columns.h"
#include "gatewright/kernels/moe_ffn/moe_ffn.h"

namespace gw::kernels {

/// A matrix as lanes × k. k_contiguous: element (lane, k) at data[index(lane)·stride + k·step]; else at
/// data[index(k)·stride + lane·step].
template <class T>
struct Columns {
  const T* data = nullptr;
  int64_t stride = 0, lanes = 0, k = 0;
  bool k_contiguous = true;
  const int64_t* index = nullptr;  ///< of the strided dimension; null: itself
  const T* packed = nullptr;       ///< all panels of all k, or null
  int64_t step = 1;
  const CodedRows* coded = nullptr;  ///< instead of data

  const T* at(int64_t strided) const { return data + (index == nullptr ? strided : index[strided]) * stride; }
};

/// The same where neither lanes nor k lie beside each other: they are brought together stretch by stretch.
template <class T>
void pack_apart(const GemmTable<T>& gemm, const Columns<T>& m, int64_t lane0, int64_t width, int64_t k0,
                int64_t k, T* panel) {
  constexpr int64_t kMost = 64;  // lanes of a panel, and k of a stretch: a multiple of every group
  T values[kMost * kMost];
  const T* pointers[kMost];
  const int64_t count = std::min(width, m.lanes - lane0);
  for (int64_t i = 0; i < kMost; ++i) pointers[i] = values + i * kMost;
  for (int64_t done = 0; done < k; done += kMost) {
    const int64_t steps = std::min(kMost, k - done), rows = m.k_contiguous ? count : steps,
                  values_of_row = m.k_contiguous ? steps : count;
    for (int64_t i = 0; i < rows; ++i) {
      const T* from =
          m.k_contiguous ? m.at(lane0 + i) + (k0 + done) * m.step : m.at(k0 + done + i) + lane0 * m.step;
      for (int64_t j = 0; j < values_of_row; ++j) values[i * kMost + j] = from[j * m.step];
    }
    if (m.k_contiguous)
      gemm.pack_k(pointers, count, width, steps, panel + done * width);
    else
      gemm.pack_lanes(pointers, steps, count, width, panel + done * width);
  }
}

/// One panel of `width` lanes from lane0, k from k0.
template <class T>
void pack_panel(const GemmTable<T>& gemm, const Columns<T>& m, int64_t lane0, int64_t width, int64_t k0,
                int64_t k, T* panel) {
  constexpr int64_t kMost = 1024;
  const T* pointers[kMost];
  const int64_t count = std::min(width, m.lanes - lane0);
  if (m.coded != nullptr) return pack_coded(gemm, *m.coded, lane0, count, width, k0, k, panel);
  if (m.step != 1) return pack_apart(gemm, m, lane0, width, k0, k, panel);
  if (m.k_contiguous) {
    for (int64_t i = 0; i < count; ++i) pointers[i] = m.at(lane0 + i) + k0;
    gemm.pack_k(pointers, count, width, k, panel);
    return;
  }
  for (int64_t done = 0; done < k; done += kMost) {  // kMost is a multiple of every group
    const int64_t steps = std::min(kMost, k - done);
    for (int64_t j = 0; j < steps; ++j) pointers[j] = m.at(k0 + done + j) + lane0;
    gemm.pack_lanes(pointers, steps, count, width, panel + done * width);
  }
}

/// Expert e of a stacked weight as lanes × k, or, `turned`, as k × lanes, without its panels then.
template <class T>
Columns<T> expert_columns(const FfnWeight<T>& w, int64_t expert, int64_t lanes, int64_t k, bool turned,
                          int64_t packed_values) {
  const auto at = w.layout.of(lanes, k);
  const T* data = w.data == nullptr ? nullptr : w.data + expert * at.expert;
  if (turned) return {data, at.stride, k, lanes, !at.k_contiguous, nullptr, nullptr, at.step};
  const T* packed = w.packed == nullptr ? nullptr : w.packed + expert * packed_values;
  const CodedRows* coded = w.coded == nullptr ? nullptr : w.coded + expert;
  return {data, at.stride, lanes, k, at.k_contiguous, nullptr, packed, at.step, coded};
}

/// Panels of rows [0, lanes), each over all k: what tiles read as A.
template <class T>
struct Panels {
  T* data = nullptr;
  int64_t stride = 0;  ///< values of T per panel
};

/// The columns that a product takes: panels [panel, panel + panels) of `m`.
template <class T>
struct Stripe {
  Columns<T> m;
  int64_t panel = 0, panels = 0;
};

/// Where the packed panels of a stripe begin, or null.
template <class T>
const T* first_packed(const GemmTable<T>& gemm, const Stripe<T>& b) {
  return b.m.packed == nullptr ? nullptr
                               : b.m.packed + b.panel * ceil_div(b.m.k, gemm.group) * gemm.cols * gemm.group;
}

}  // namespace gw::kernels
