#pragma once
// Products of few rows with columns that are read as they lie. Portable code.
#include "gatewright/kernels/moe_ffn/columns.h"

namespace gw::kernels {

/// The product that reads a stripe as it lies, or null: too many rows, packed already, or odd sizes.
template <class T>
auto small_m_product(const GemmTable<T>& gemm, const Stripe<T>& b, int64_t rows) -> decltype(gemm.small_m.k) {
  const bool fits = rows <= gemm.small_m.rows && b.m.packed == nullptr && b.m.coded == nullptr &&
                    b.m.index == nullptr && b.m.step == 1 && b.m.k % gemm.small_m.k_multiple == 0 &&
                    b.m.lanes % gemm.small_m.lane_multiple == 0;
  return !fits ? nullptr : b.m.k_contiguous ? gemm.small_m.k : gemm.small_m.lanes_at;
}

template <class T>
const T* first_value(const GemmTable<T>& gemm, const Stripe<T>& b) {
  const int64_t lane = b.panel * gemm.cols;
  return b.m.k_contiguous ? b.m.at(lane) : b.m.at(0) + lane;
}

}  // namespace gw::kernels
