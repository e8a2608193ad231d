// AVX512_BF16: one instruction multiplies pairs and adds both products to an f32. It rounds between the two
// and flushes denormals, so bits differ from the widened levels'; they are the same for any cut of rows,
// columns and (even) k.
#include "gatewright/kernels/grouped_gemm/grouped_gemm.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>

#include <cstring>

namespace gw::kernels {
namespace {

#include "gatewright/kernels/grouped_gemm/avx512_vectors.inl"
using Factor = __m512bh;
inline Factor prepare(Units v) { return reinterpret_cast<__m512bh>(v); }
inline Vector dot(Vector sums, Factor a, Factor b) { return _mm512_dpbf16_ps(sums, a, b); }
#include "gatewright/kernels/grouped_gemm/wide.inl"

}  // namespace

const GemmTable<Bf16> gemm_avx512_bf16{kTileRows, kCols, 2, pack_k<Bf16>, pack_lanes<Bf16>, tile<Bf16>};

}  // namespace gw::kernels
#endif
