// AVX512_VNNI for any number of rows.
#include "kernels/codes/codes.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#include <immintrin.h>

#include <cstring>

namespace gw::kernels {
namespace {

#include "kernels/codes/avx512.inl"
#include "kernels/codes/vnni.inl"

}  // namespace

const CodeTable codes_avx512_vnni{lay, vector_tile, nullptr, expand};

}  // namespace gw::kernels
#endif
