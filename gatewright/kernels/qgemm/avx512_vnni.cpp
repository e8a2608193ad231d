// AVX512_VNNI for any number of rows.
#include "gatewright/kernels/qgemm/qgemm.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#include <immintrin.h>

#include <cstring>

namespace gw::kernels {
namespace {

#include "gatewright/kernels/qgemm/avx512.inl"
#include "gatewright/kernels/qgemm/vnni.inl"

}  // namespace

const QgemmTable qgemm_avx512_vnni{pack_row, vector_tile, nullptr, expand};

}  // namespace gw::kernels
#endif
