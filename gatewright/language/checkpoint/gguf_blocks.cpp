#include "gatewright/language/checkpoint/gguf_blocks.h"

#include <c10/util/Half.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace gw::inline language {
namespace {

float half_at(const uint8_t* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof bits);
  return c10::detail::fp16_ieee_to_fp32_value(bits);
}

// 16 bytes hold values j in their low and j + 16 in their high halves.
template <class Value>
void nibbles(const uint8_t* q, float* to, const Value& value) {
  for (int j = 0; j < 16; ++j) to[j] = value(q[j] & 15, j), to[j + 16] = value(q[j] >> 4, j + 16);
}

void q4_0(const uint8_t* b, float* to) {
  const float d = half_at(b);
  nibbles(b + 2, to, [&](int q, int) { return static_cast<float>(q - 8) * d; });
}

void q4_1(const uint8_t* b, float* to) {
  const float d = half_at(b), m = half_at(b + 2);
  nibbles(b + 4, to, [&](int q, int) { return static_cast<float>(q) * d + m; });
}

int fifth_bit(const uint8_t* b, int j) { return (b[j / 8] >> (j % 8) & 1) << 4; }

void q5_0(const uint8_t* b, float* to) {
  const float d = half_at(b);
  nibbles(b + 6, to, [&](int q, int j) { return static_cast<float>((q | fifth_bit(b + 2, j)) - 16) * d; });
}

void q5_1(const uint8_t* b, float* to) {
  const float d = half_at(b), m = half_at(b + 2);
  nibbles(b + 8, to, [&](int q, int j) { return static_cast<float>(q | fifth_bit(b + 4, j)) * d + m; });
}

void q8_0(const uint8_t* b, float* to) {
  const float d = half_at(b);
  for (int j = 0; j < 32; ++j) to[j] = static_cast<float>(static_cast<int8_t>(b[2 + j])) * d;
}

// Eight scales and eight minima of 6 bits in 12 bytes.
void q4_k(const uint8_t* b, float* to) {
  const float d = half_at(b), least = half_at(b + 2);
  const uint8_t *s = b + 4, *q = b + 16;
  for (int j = 0; j < 8; ++j) {
    const int scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
    const int minimum = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | (s[j] >> 6) << 4;
    const float factor = d * static_cast<float>(scale), offset = least * static_cast<float>(minimum);
    for (int l = 0; l < 32; ++l) {
      const int byte = q[j / 2 * 32 + l];
      to[j * 32 + l] = factor * static_cast<float>(j % 2 == 0 ? byte & 15 : byte >> 4) - offset;
    }
  }
}

void q6_k(const uint8_t* b, float* to) {
  const float d = half_at(b + 208);
  for (int half = 0; half < 2; ++half) {
    const uint8_t *low = b + 64 * half, *high = b + 128 + 32 * half;
    const auto* scale = reinterpret_cast<const int8_t*>(b + 192 + 8 * half);
    for (int l = 0; l < 128; ++l) {
      const int byte = low[l % 64], four = l < 64 ? byte & 15 : byte >> 4;
      const int q = (four | (high[l % 32] >> (2 * (l / 32)) & 3) << 4) - 32;
      to[128 * half + l] = d * static_cast<float>(scale[l / 16]) * static_cast<float>(q);
    }
  }
}

void mxfp4(const uint8_t* b, float* to) {
  static constexpr float kValues[16] = {0, .5f, 1, 1.5f, 2, 3, 4, 6, -0.f, -.5f, -1, -1.5f, -2, -3, -4, -6};
  const float d = std::ldexp(1.0f, b[0] - 127);
  nibbles(b + 1, to, [&](int q, int) { return kValues[q] * d; });
}

constexpr GgufType kTypes[] = {
    {0, "F32", 1, 4, nullptr},    {1, "F16", 1, 2, nullptr},   {30, "BF16", 1, 2, nullptr},
    {2, "Q4_0", 32, 18, q4_0},    {3, "Q4_1", 32, 20, q4_1},   {6, "Q5_0", 32, 22, q5_0},
    {7, "Q5_1", 32, 24, q5_1},    {8, "Q8_0", 32, 34, q8_0},   {12, "Q4_K", 256, 144, q4_k},
    {14, "Q6_K", 256, 210, q6_k}, {39, "MXFP4", 32, 17, mxfp4}};

}  // namespace

void q8_0_from(const float* values, uint8_t* block) {
  float most = 0;
  for (int j = 0; j < 32; ++j) most = std::max(most, std::abs(values[j]));
  const float d = most / 127, inverse = d > 0 ? 1 / d : 0;
  const uint16_t bits = c10::detail::fp16_ieee_from_fp32_value(d);
  std::memcpy(block, &bits, sizeof bits);
  for (int j = 0; j < 32; ++j)
    block[2 + j] = static_cast<uint8_t>(static_cast<int8_t>(std::round(values[j] * inverse)));
}

const GgufType* gguf_type(uint32_t code) {
  for (const auto& type : kTypes)
    if (type.code == code) return &type;
  return nullptr;
}

std::string gguf_type_names() {
  std::string all;
  for (const auto& type : kTypes) all += std::string(all.empty() ? "" : " ") + type.name;
  return all;
}

}  // namespace gw::inline language
