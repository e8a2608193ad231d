// The reference: plain loops, obviously right. f32 sums by fused multiply-add in the order of k, as the other
// levels do: equal bits.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "gatewright/kernels/grouped_gemm/grouped_gemm.h"

namespace gw::kernels {
namespace {

constexpr int64_t kRows = 4, kCols = 8;

double widen(double v) { return v; }
float widen(float v) { return v; }
float widen(Bf16 v) {
  const uint32_t bits = static_cast<uint32_t>(v.bits) << 16;
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}

template <class T>
constexpr int64_t kGroup = 1;
template <>
constexpr int64_t kGroup<Bf16> = 2;

template <class T>
void pack_k(const T* const* lane, int64_t count, int64_t width, int64_t k, T* panel) {
  std::fill_n(panel, ceil_div(k, kGroup<T>) * kGroup<T> * width, T{});
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < k; ++j)
      panel[(j / kGroup<T> * width + i) * kGroup<T> + j % kGroup<T>] = lane[i][j];
  }
}

template <class T>
void pack_lanes(const T* const* step, int64_t k, int64_t count, int64_t width, T* panel) {
  std::fill_n(panel, ceil_div(k, kGroup<T>) * kGroup<T> * width, T{});
  for (int64_t j = 0; j < k; ++j) {
    for (int64_t i = 0; i < count; ++i)
      panel[(j / kGroup<T> * width + i) * kGroup<T> + j % kGroup<T>] = step[j][i];
  }
}

template <class T>
void tile(const T* a, const T* b, int64_t units, int64_t m, Sums<typename SumOf<T>::type> c, PrefetchHints) {
  for (int64_t i = 0; c.fresh && i < m; ++i) std::fill_n(c.at + i * c.stride, kCols, 0);
  for (int64_t u = 0; u < units; ++u) {
    for (int64_t g = 0; g < kGroup<T>; ++g) {
      for (int64_t i = 0; i < m; ++i) {
        const auto left = widen(a[(u * kRows + i) * kGroup<T> + g]);
        auto* const row = c.at + i * c.stride;
        for (int64_t j = 0; j < kCols; ++j)
          row[j] = std::fma(left, widen(b[(u * kCols + j) * kGroup<T> + g]), row[j]);
      }
    }
  }
}

template <class T>
constexpr GemmTable<T> table() {
  return {kRows, kCols, kGroup<T>, pack_k<T>, pack_lanes<T>, tile<T>};
}

}  // namespace

const GemmTable<double> gemm_ref_f64 = table<double>();
const GemmTable<float> gemm_ref = table<float>();
const GemmTable<Bf16> gemm_ref_bf16 = table<Bf16>();

}  // namespace gw::kernels
