// AVX512F, f32.
#include "gatewright/kernels/grouped_gemm/grouped_gemm.h"

#if defined(__AVX512F__)
#include <immintrin.h>

#include <cstring>

namespace gw::kernels {
namespace {

#include "gatewright/kernels/grouped_gemm/avx512_vectors.inl"
using Factor = Vector;
inline Factor prepare(Units v) { return _mm512_castsi512_ps(v); }
inline Vector dot(Vector sums, Factor a, Factor b) { return _mm512_fmadd_ps(a, b, sums); }
#include "gatewright/kernels/grouped_gemm/wide.inl"
#include "gatewright/kernels/grouped_gemm/wide_small_m.inl"

}  // namespace

const GemmTable<float> gemm_avx512{kTileRows,
                                   kCols,
                                   1,
                                   pack_k<float>,
                                   pack_lanes<float>,
                                   tile<float>,
                                   {kTileRows, kLanes, kDeep, few_k<float>, few_lanes}};

}  // namespace gw::kernels
#endif
