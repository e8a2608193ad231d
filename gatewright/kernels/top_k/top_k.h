#pragma once
// Who is chosen: score function, selection and renormalisation of a row of scores in one pass.
// Files compiled for one instruction set include this header: nothing here may have external inline code.
#include <cstdint>

namespace gw::kernels {

enum class Score { identity, softmax, sigmoid };

/// One level. Rows of `experts` values, dense.
template <class T>
struct TopKTable {
  /// The k largest scores of each row, largest first, the lower index first among equals (and -inf last), as
  /// expert [rows, k].
  /// weight [rows, k] = score function of the chosen (softmax over all experts), over their sum when
  /// `renormalise` and it is not 0.
  /// A row of -inf alone has softmax and sigmoid weights 0.
  /// Returns the first row that holds a NaN, or -1; nothing after it is computed.
  /// Cost: reads sizeof(T)·rows·experts bytes once; about (2 + k)·experts operations per row.
  int64_t (*run)(const T* scores, int64_t rows, int64_t experts, int64_t k, Score f, bool renormalise,
                 int64_t* expert, T* weight);
};

extern const TopKTable<double> top_k_ref_f64;
extern const TopKTable<float> top_k_ref, top_k_avx2, top_k_avx512, top_k_neon;

}  // namespace gw::kernels
