#include "gatewright/language/checkpoint/scaled_blocks.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/ops/few_bits.h"

namespace gw::inline language {
namespace {

constexpr int64_t kGrain = 1 << 14;          // values of a task
constexpr int64_t kGroup = 32, kBytes = 16;  // values of a block, and their bytes

}  // namespace

float e4m3_value(uint8_t code) {
  float value;
  ops::expand_fp8(&code, 1, 1, &value);
  return value;
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
  const auto codes = given.contiguous(), scales = given_scales.to(at::kFloat).contiguous();
  auto out = at::empty(given.sizes(), at::kFloat);
  const int64_t r = given.size(n - 2), c = given.size(n - 1), sr = wanted[n - 2], sc = wanted[n - 1];
  const auto* from = codes.data_ptr<uint8_t>();
  const auto* scale = scales.data_ptr<float>();
  auto* to = out.data_ptr<float>();
  at::parallel_for(
      0, c > 0 ? out.numel() / c : 0, kGrain / std::max<int64_t>(c, 1) + 1, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
          const float* own = scale + (row / r * sr + row % r / rows) * sc;
          for (int64_t j = 0; j < c; j += columns)
            ops::expand_fp8(from + row * c + j, std::min(columns, c - j), own[j / columns], to + row * c + j);
        }
      });
  return out;
}

at::Tensor expand_mxfp4(const at::Tensor& given, const at::Tensor& given_scales) {
  GW_CHECK(given.dim() >= 2 && given.size(-1) == kBytes && given.scalar_type() == at::kByte &&
               given_scales.scalar_type() == at::kByte &&
               given_scales.sizes() == given.sizes().slice(0, given.dim() - 1),
           "mxfp4: expected blocks [..., G, {}] and scales [..., G] of bytes, got [{}] and [{}]", kBytes,
           fmt::join(given.sizes(), ", "), fmt::join(given_scales.sizes(), ", "));
  const auto blocks = given.contiguous(), scales = given_scales.contiguous();
  auto shape = given.sizes().vec();
  shape.pop_back(), shape.back() *= 2 * kBytes;
  auto out = at::empty(shape, at::kFloat);
  const auto* from = blocks.data_ptr<uint8_t>();
  const auto* exponent = scales.data_ptr<uint8_t>();
  auto* to = out.data_ptr<float>();
  at::parallel_for(0, given_scales.numel(), kGrain / kGroup, [&](int64_t begin, int64_t end) {
    ops::expand_mxfp4(from + begin * kBytes, exponent + begin, end - begin, to + begin * kGroup);
  });
  return out;
}

}  // namespace gw::inline language
