#pragma once
// What the CUDA level of grouped_gemm must do: see cuda_cases.h.
#include "gatewright/kernels/grouped_gemm/cuda.h"
#include "tests/support/cuda_cases.h"
#include "tests/support/ffn_case.h"

namespace gw::test {

/// NT, NN and TN by themselves against loops in f64, with and without an index, among empty groups. Of the
/// largest value: f32 1e-6; bf16 5e-6, for tensor cores cut off sums where others round (2^-22 a step of 16 k
/// at most); TN is rounded to bf16 at the end.
template <class T, class Device>
void products_agree_with_loops(Device& device) {
  const std::vector<int64_t> offsets{0, 0, 70, 71, 71, 200}, index = Rng(9).permutation(200);
  const int64_t experts = 5, rows = 200, k = 37, n = 91;
  const double tolerance = sizeof(T) == 4 ? 1e-6 : 5e-6;
  const auto at = [](int64_t i) { return static_cast<size_t>(i); };
  const auto left = values<T>(1, rows * k, 1), right = values<T>(2, rows * n, 1),
             weights = values<T>(3, experts * n * k, 1);
  const auto bias = values<float>(4, experts * n, 1);
  std::vector<double> nt(at(rows * n)), nn = nt, tn(at(experts * k * n));
  for (int64_t e = 0; e < experts; ++e) {
    for (int64_t r = offsets[at(e)]; r < offsets[at(e + 1)]; ++r) {
      for (int64_t j = 0; j < n; ++j) {
        nt[at(r * n + j)] = nn[at(r * n + j)] = get(bias[at(e * n + j)]);
        for (int64_t i = 0; i < k; ++i) {
          const double a = get(left[at(index[at(r)] * k + i)]);
          nt[at(r * n + j)] += a * get(weights[at((e * n + j) * k + i)]);
          nn[at(r * n + j)] += get(left[at(r * k + i)]) * get(weights[at((e * k + i) * n + j)]);
          tn[at((e * k + i) * n + j)] += a * get(right[at(r * n + j)]);
        }
      }
    }
  }
  const Array<T, Device> l(device, left), r(device, right), w(device, weights), groups(device, tn.size());
  const Array<float, Device> b(device, bias), to(device, nt.size());
  const Array<int64_t, Device> o(device, offsets), x(device, index);
  kernels::cuda::rows_product<T>(
      device,
      {experts, rows, k, n, o.data(), {{l.data(), x.data(), w.data()}, {}}, false, b.data(), to.data()});
  expect_close({{"NT", wide(to.host())}}, {{"NT", nt}}, tolerance);
  kernels::cuda::rows_product<T>(
      device,
      {experts, rows, k, n, o.data(), {{l.data(), nullptr, w.data()}, {}}, true, b.data(), to.data()});
  expect_close({{"NN", wide(to.host())}}, {{"NN", nn}}, tolerance);
  kernels::cuda::groups_product<T>(
      device, {experts, k, n, o.data(), l.data(), r.data(), x.data(), nullptr, groups.data()});
  expect_close({{"TN", wide(groups.host())}}, {{"TN", tn}}, sizeof(T) == 4 ? 1e-6 : 5e-3);
}

}  // namespace gw::test
