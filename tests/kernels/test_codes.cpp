// Values of few bits: every level against the reference, bit by bit.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "gatewright/base/rng.h"
#include "gatewright/kernels/codes/family.h"

namespace gw::test::codes_cases {

using namespace kernels;

const CodesTable& table_of(const std::string& level) {
  codes_family().force(level);
  const auto& table = codes_family()();
  codes_family().force("");
  return table;
}

std::vector<std::string> levels() {
  std::vector<std::string> names;
  for (const auto& level : codes_family().levels())
    if (level.available) names.push_back(level.name);
  return names;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (std::isnan(a[i]) != std::isnan(b[i]) || (!std::isnan(a[i]) && std::memcmp(&a[i], &b[i], 4) != 0))
      return false;
  return true;
}

TEST(Codes, EveryCodeOfEightBitsHasItsValueAtEveryLevel) {
  std::vector<uint8_t> codes;
  for (int i = 0; i < 256; ++i) codes.push_back(static_cast<uint8_t>(i));
  for (const auto& level : levels()) {
    const auto& table = table_of(level);
    for (const int64_t n : {256, 7, 1, 250}) {
      std::vector<float> got(256, 5), want(256, 5);
      table.fp8(codes.data(), n, 0.37f, got.data());
      codes_ref.fp8(codes.data(), n, 0.37f, want.data());
      EXPECT_TRUE(same_bits(got, want)) << level << ", " << n;
    }
    std::vector<float> values(256);
    table.fp8(codes.data(), 256, 1, values.data());
    EXPECT_EQ(values[0x01], 1.0f / 512) << level;
    EXPECT_EQ(values[0x08], 1.0f / 64) << level;
    EXPECT_EQ(values[0xfe], -448) << level;
    EXPECT_TRUE(std::isnan(values[0x7f])) << level;
  }
}

TEST(Codes, GroupsOfFourBitsHaveTheirValuesAtEveryLevel) {
  std::vector<uint8_t> codes, exponents{0, 1, 126, 127, 128, 254};
  const gw::Rng rng(3);
  for (size_t i = 0; i < exponents.size() * kMxfp4Bytes; ++i)
    codes.push_back(static_cast<uint8_t>(rng.uniform(i) * 256));
  const auto groups = static_cast<int64_t>(exponents.size());
  std::vector<float> want(exponents.size() * kMxfp4Group);
  codes_ref.mxfp4(codes.data(), exponents.data(), groups, want.data());
  EXPECT_EQ(std::abs(want[3 * kMxfp4Group]) * 2, std::floor(std::abs(want[3 * kMxfp4Group]) * 2));
  for (const auto& level : levels()) {
    std::vector<float> got(want.size());
    table_of(level).mxfp4(codes.data(), exponents.data(), groups, got.data());
    EXPECT_TRUE(same_bits(got, want)) << level;
  }
}

TEST(Codes, NarrowedValuesAreTheNearest) {
  std::vector<float> values{1, 1.00390625f, 1.01171875f, -3.0e38f, 0, -0.0f, 1e-40f, NAN, HUGE_VALF};
  const gw::Rng rng(5);
  for (uint64_t i = 0; i < 50; ++i) values.push_back(static_cast<float>(rng.uniform(i) * 9 - 4));
  for (const auto& level : levels()) {
    std::vector<Bf16> got(values.size()), want(values.size());
    table_of(level).narrow(values.data(), static_cast<int64_t>(values.size()), got.data());
    codes_ref.narrow(values.data(), static_cast<int64_t>(values.size()), want.data());
    for (size_t i = 0; i < values.size(); ++i)
      EXPECT_EQ(got[i].bits, want[i].bits) << level << ", " << values[i];
    EXPECT_EQ(got[1].bits, 0x3f80) << "halfway, to the even one";
    EXPECT_EQ(got[2].bits, 0x3f82);
    EXPECT_EQ(got[7].bits, 0x7fc0);
  }
}

}  // namespace gw::test::codes_cases
