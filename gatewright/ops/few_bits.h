#pragma once
// Values of few bits that share scales, a stretch at a time, by the level of now; a file's codes and those
// that are kept are expanded by the same loops.
#include <cstdint>

namespace gw::ops {

/// to[i] = the E4M3FN value of codes[i], times scale. The same bits at every level.
void expand_fp8(const uint8_t* codes, int64_t n, float scale, float* to);

/// Groups of 32 E2M1 values in 16 bytes, the even ones in the low halves, each times 2^(its exponent − 127).
/// The same bits at every level; an exponent of 255 gives infinity.
void expand_mxfp4(const uint8_t* codes, const uint8_t* exponents, int64_t groups, float* to);

}  // namespace gw::ops
