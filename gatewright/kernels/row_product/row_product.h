#pragma once
// A few rows times a matrix: the gate of one token, where a library call takes longer than the product.
// Files compiled for one instruction set include this header: nothing here may have external inline code.
#include <cstdint>

namespace gw::kernels {

/// y [rows, out] = x [rows, in]·weightᵀ (+ bias [out], may be null); weight [out, in]; all f32 and dense.
/// Bits: of an answer, from its row and its weights alone, the same at every level: products are added to 16
///       sums by fused steps, k mod 16 to the same sum, then the sums by halves.
/// Cost: 2·rows·in·out flop; reads the weights once per row.
using RowProduct = void (*)(const float* x, int64_t rows, int64_t in, const float* weight, const float* bias,
                            int64_t out, float* y);

/// One level.
struct RowProductTable {
  RowProduct run;
};

extern const RowProductTable row_product_ref, row_product_avx2, row_product_avx512, row_product_neon;

}  // namespace gw::kernels
