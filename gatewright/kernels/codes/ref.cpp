#include <bit>
#include <cmath>
#include <limits>

#include "gatewright/kernels/codes/codes.h"

namespace gw::kernels {
namespace {

float e4m3(uint8_t code) {
  const int exponent = code >> 3 & 15, fraction = code & 7;
  if ((code & 127) == 127) return std::numeric_limits<float>::quiet_NaN();
  const float size = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -9)
                                   : std::ldexp(static_cast<float>(8 + fraction), exponent - 10);
  return code >= 128 ? -size : size;
}

struct AllE4m3 {
  float of[256];
  AllE4m3() {
    for (int code = 0; code < 256; ++code) of[code] = e4m3(static_cast<uint8_t>(code));
  }
};

void fp8(const uint8_t* codes, int64_t n, float scale, float* to) {
  static const AllE4m3 values;
  for (int64_t i = 0; i < n; ++i) to[i] = values.of[codes[i]] * scale;
}

void mxfp4(const uint8_t* codes, const uint8_t* exponents, int64_t groups, float* to) {
  static constexpr float kValues[16] = {0, .5f, 1, 1.5f, 2, 3, 4, 6, -0.f, -.5f, -1, -1.5f, -2, -3, -4, -6};
  for (int64_t g = 0; g < groups; ++g) {
    const float scale = std::ldexp(1.0f, exponents[g] - 127);
    for (int64_t j = 0; j < kMxfp4Bytes; ++j) {
      const uint8_t both = codes[g * kMxfp4Bytes + j];
      to[g * kMxfp4Group + 2 * j] = kValues[both & 15] * scale;
      to[g * kMxfp4Group + 2 * j + 1] = kValues[both >> 4] * scale;
    }
  }
}

void narrow(const float* from, int64_t n, Bf16* to) {
  for (int64_t i = 0; i < n; ++i) {
    const auto bits = std::bit_cast<uint32_t>(from[i]);
    const uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    to[i].bits = std::isnan(from[i]) ? uint16_t{0x7fc0} : static_cast<uint16_t>(nearest);
  }
}

}  // namespace

const CodesTable codes_ref{fp8, mxfp4, narrow};

}  // namespace gw::kernels
