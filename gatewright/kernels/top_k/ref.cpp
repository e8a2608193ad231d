// The reference: sorts every row.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "gatewright/kernels/top_k/top_k.h"

namespace gw::kernels {
namespace {

template <class T>
std::vector<T> scored(const T* row, int64_t experts, Score f) {
  std::vector<T> out(row, row + experts);
  const T top = *std::max_element(out.begin(), out.end());
  T total = 0;
  for (auto& v : out) {
    if (f == Score::softmax) total += v = std::isinf(v) && v < 0 ? T(0) : std::exp(v - top);
    if (f == Score::sigmoid) v = 1 / (1 + std::exp(-v));
  }
  for (auto& v : out)
    v = f == Score::softmax && total > 0 ? v / total : v;  // all -inf: no mass, and zeros stay zeros
  return out;
}

template <class T>
int64_t run(const T* scores, int64_t rows, int64_t experts, int64_t k, Score f, bool renormalise,
            int64_t* expert, T* weight) {
  std::vector<int64_t> order(static_cast<size_t>(experts));
  for (int64_t r = 0; r < rows; ++r, scores += experts, expert += k, weight += k) {
    if (std::any_of(scores, scores + experts, [](T v) { return std::isnan(v); })) return r;
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return scores[a] > scores[b]; });
    const auto weights = scored(scores, experts, f);
    T sum = 0;
    for (int64_t j = 0; j < k; ++j) {
      expert[j] = order[static_cast<size_t>(j)];
      sum += weight[j] = weights[static_cast<size_t>(expert[j])];
    }
    for (int64_t j = 0; j < k && renormalise && sum != 0; ++j) weight[j] /= sum;
  }
  return -1;
}

}  // namespace

const TopKTable<double> top_k_ref_f64{run<double>};
const TopKTable<float> top_k_ref{run<float>};

}  // namespace gw::kernels
