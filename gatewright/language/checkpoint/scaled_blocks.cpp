#include "gatewright/language/checkpoint/scaled_blocks.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/ranges.h>

#include <array>
#include <cmath>
#include <limits>

#include "gatewright/base/check.h"

namespace gw::inline language {
namespace {

constexpr int64_t kGrain = 1 << 14;  // values of a task
constexpr int64_t kHalves = 16;      // bytes of a block

std::array<float, 256> e4m3_values() {
  std::array<float, 256> all;
  for (int code = 0; code < 256; ++code)
    all[static_cast<size_t>(code)] = e4m3_value(static_cast<uint8_t>(code));
  return all;
}

}  // namespace

float e4m3_value(uint8_t code) {
  const int exponent = code >> 3 & 15, fraction = code & 7;
  if ((code & 127) == 127) return std::numeric_limits<float>::quiet_NaN();
  const float size = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -9)
                                   : std::ldexp(static_cast<float>(8 + fraction), exponent - 10);
  return code >= 128 ? -size : size;
}

at::Tensor expand_fp8(const at::Tensor& given, const at::Tensor& given_scales, int64_t rows,
                      int64_t columns) {
  const int64_t n = given.dim();
  const auto up = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  auto wanted = given.sizes().vec();
  if (n >= 2 && rows > 0 && columns > 0)
    wanted[n - 2] = up(wanted[n - 2], rows), wanted[n - 1] = up(wanted[n - 1], columns);
  GW_CHECK(n >= 2 && rows > 0 && columns > 0 && given.scalar_type() == at::kByte &&
               given_scales.is_floating_point() && given_scales.sizes() == wanted,
           "fp8: expected codes [..., R, C] and a scale for every {} by {} of them, [{}], got codes [{}] and "
           "scales [{}]; "
           "config.json says the sizes of blocks in quantization_config, weight_block_size",
           rows, columns, fmt::join(wanted, ", "), fmt::join(given.sizes(), ", "),
           fmt::join(given_scales.sizes(), ", "));
  static const auto kValues = e4m3_values();
  const auto codes = given.contiguous(), scales = given_scales.to(at::kFloat).contiguous();
  auto out = at::empty(given.sizes(), at::kFloat);
  const int64_t r = given.size(n - 2), c = given.size(n - 1), sr = wanted[n - 2], sc = wanted[n - 1];
  const auto* from = codes.data_ptr<uint8_t>();
  const auto* scale = scales.data_ptr<float>();
  auto* to = out.data_ptr<float>();
  at::parallel_for(0, c > 0 ? out.numel() / c : 0, kGrain / std::max<int64_t>(c, 1) + 1,
                   [&](int64_t begin, int64_t end) {
                     for (int64_t row = begin; row < end; ++row) {
                       const float* own = scale + (row / r * sr + row % r / rows) * sc;
                       for (int64_t j = 0; j < c; ++j)
                         to[row * c + j] = kValues[from[row * c + j]] * own[j / columns];
                     }
                   });
  return out;
}

at::Tensor expand_mxfp4(const at::Tensor& given, const at::Tensor& given_scales) {
  GW_CHECK(given.dim() >= 2 && given.size(-1) == kHalves && given.scalar_type() == at::kByte &&
               given_scales.scalar_type() == at::kByte &&
               given_scales.sizes() == given.sizes().slice(0, given.dim() - 1),
           "mxfp4: expected blocks [..., G, {}] and scales [..., G] of bytes, got [{}] and [{}]", kHalves,
           fmt::join(given.sizes(), ", "), fmt::join(given_scales.sizes(), ", "));
  static constexpr float kValues[16] = {0, .5f, 1, 1.5f, 2, 3, 4, 6, -0.f, -.5f, -1, -1.5f, -2, -3, -4, -6};
  const auto blocks = given.contiguous(), scales = given_scales.contiguous();
  auto shape = given.sizes().vec();
  shape.pop_back(), shape.back() *= 2 * kHalves;
  auto out = at::empty(shape, at::kFloat);
  const auto* from = blocks.data_ptr<uint8_t>();
  const auto* exponent = scales.data_ptr<uint8_t>();
  auto* to = out.data_ptr<float>();
  at::parallel_for(0, given_scales.numel(), kGrain / (2 * kHalves), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const float scale = std::ldexp(1.0f, exponent[b] - 127);
      for (int64_t j = 0; j < kHalves; ++j) {
        const int byte = from[b * kHalves + j];
        to[(b * kHalves + j) * 2] = kValues[byte & 15] * scale;
        to[(b * kHalves + j) * 2 + 1] = kValues[byte >> 4] * scale;
      }
    }
  });
  return out;
}

}  // namespace gw::inline language
