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
void nibbles(const uint8_t* q, uint8_t* u) {
  for (int j = 0; j < 16; ++j) u[j] = q[j] & 15, u[j + 16] = q[j] >> 4;
}

void q4_0(const uint8_t* b, uint8_t* u, float* scale, float*) { *scale = half_at(b), nibbles(b + 2, u); }

void q4_1(const uint8_t* b, uint8_t* u, float* scale, float* minimum) {
  *scale = half_at(b), *minimum = half_at(b + 2), nibbles(b + 4, u);
}

void fifth_bits(const uint8_t* b, uint8_t* u) {
  for (int j = 0; j < 32; ++j) u[j] = static_cast<uint8_t>(u[j] | (b[j / 8] >> (j % 8) & 1) << 4);
}

void q5_0(const uint8_t* b, uint8_t* u, float* scale, float*) {
  *scale = half_at(b), nibbles(b + 6, u), fifth_bits(b + 2, u);
}

void q5_1(const uint8_t* b, uint8_t* u, float* scale, float* minimum) {
  *scale = half_at(b), *minimum = half_at(b + 2), nibbles(b + 8, u), fifth_bits(b + 4, u);
}

void q8_0(const uint8_t* b, uint8_t* u, float* scale, float*) {
  *scale = half_at(b);
  for (int j = 0; j < 32; ++j) u[j] = b[2 + j] ^ 128;  // with a sign to without, plus 128
}

// Eight scales and eight minima of 6 bits in 12 bytes.
void q4_k(const uint8_t* b, uint8_t* u, float* scales, float* minima) {
  const float d = half_at(b), least = half_at(b + 2);
  const uint8_t *s = b + 4, *q = b + 16;
  for (int j = 0; j < 8; ++j) {
    const int scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
    const int minimum = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | (s[j] >> 6) << 4;
    scales[j] = d * static_cast<float>(scale), minima[j] = -(least * static_cast<float>(minimum));
    for (int l = 0; l < 32; ++l) u[j * 32 + l] = j % 2 == 0 ? q[j / 2 * 32 + l] & 15 : q[j / 2 * 32 + l] >> 4;
  }
}

void q6_k(const uint8_t* b, uint8_t* u, float* scales, float*) {
  const float d = half_at(b + 208);
  for (int g = 0; g < 16; ++g) scales[g] = d * static_cast<float>(static_cast<int8_t>(b[192 + g]));
  for (int half = 0; half < 2; ++half) {
    const uint8_t *low = b + 64 * half, *high = b + 128 + 32 * half;
    for (int l = 0; l < 128; ++l) {
      const int byte = low[l % 64], four = l < 64 ? byte & 15 : byte >> 4;
      u[128 * half + l] = static_cast<uint8_t>(four | (high[l % 32] >> (2 * (l / 32)) & 3) << 4);
    }
  }
}

constexpr ops::BlockType kQ4_0{"Q4_0", 32, 18, 4, 32, false, 8, q4_0};
constexpr ops::BlockType kQ4_1{"Q4_1", 32, 20, 4, 32, true, 0, q4_1};
constexpr ops::BlockType kQ5_0{"Q5_0", 32, 22, 8, 32, false, 16, q5_0};
constexpr ops::BlockType kQ5_1{"Q5_1", 32, 24, 8, 32, true, 0, q5_1};
constexpr ops::BlockType kQ8_0{"Q8_0", 32, 34, 8, 32, false, 128, q8_0};
constexpr ops::BlockType kQ4_K{"Q4_K", 256, 144, 4, 32, true, 0, q4_k};
constexpr ops::BlockType kQ6_K{"Q6_K", 256, 210, 8, 16, false, 32, q6_k};

template <const ops::BlockType& type>
void values_of(const uint8_t* block, float* to) {
  uint8_t u[256];
  float scales[16], minima[16];
  type.read(block, u, scales, minima);
  for (int64_t j = 0; j < type.values; ++j) {
    const float product = static_cast<float>(u[j] - type.offset) * scales[j / type.group];
    to[j] = type.minimum ? product + minima[j / type.group] : product;
  }
}

// Values j and j + 16 of 32 share a byte.
void mxfp4(const uint8_t* b, float* to) {
  static constexpr float kValues[16] = {0, .5f, 1, 1.5f, 2, 3, 4, 6, -0.f, -.5f, -1, -1.5f, -2, -3, -4, -6};
  const float d = std::ldexp(1.0f, b[0] - 127);
  for (int j = 0; j < 16; ++j) to[j] = kValues[b[1 + j] & 15] * d, to[j + 16] = kValues[b[1 + j] >> 4] * d;
}

template <const ops::BlockType& type>
constexpr GgufType in_blocks(uint32_t code) {
  return {code, type.name, type.values, type.bytes, values_of<type>, &type};
}

constexpr GgufType kTypes[] = {
    {0, "F32", 1, 4, nullptr}, {1, "F16", 1, 2, nullptr}, {30, "BF16", 1, 2, nullptr}, in_blocks<kQ4_0>(2),
    in_blocks<kQ4_1>(3),       in_blocks<kQ5_0>(6),       in_blocks<kQ5_1>(7),         in_blocks<kQ8_0>(8),
    in_blocks<kQ4_K>(12),      in_blocks<kQ6_K>(14),      {39, "MXFP4", 32, 17, mxfp4}};

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
