#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/base/bytes.h"
#include "gatewright/base/crc32c.h"
#include "gatewright/base/error.h"
#include "gatewright/base/rng.h"

namespace {

using gw::ByteReader;
using gw::ByteWriter;

TEST(Crc32c, MatchesRfc3720) {
  EXPECT_EQ(gw::crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(gw::crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(gw::crc32c(std::string(32, '\xff')), 0x62A8AB43u);
  EXPECT_EQ(gw::crc32c(""), 0u);
}

TEST(Crc32c, PiecesGiveTheSumOfTheWhole) {
  std::string bytes;
  for (uint64_t i = 0; i < 77; ++i) bytes.push_back(static_cast<char>(gw::Rng(3).bits(i)));
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    EXPECT_EQ(gw::crc32c(bytes.substr(cut), gw::crc32c(bytes.substr(0, cut))), gw::crc32c(bytes)) << cut;
  }
}

TEST(Bytes, NumbersComeBack) {
  ByteWriter out;
  const std::vector<uint64_t> numbers{0, 1, 127, 128, 300, (uint64_t{1} << 62) + 5};
  for (const auto n : numbers) out.varint(n);
  out.text("höh");
  out.u32(0x89ABCDEFu);
  const float f[] = {1.5f, -0.0f};
  const double d[] = {1e-300};
  out.f32(f, 2);
  out.f64(d, 1);
  ByteReader in(out.bytes, "test");
  for (const auto n : numbers) EXPECT_EQ(in.varint(), n);
  EXPECT_EQ(in.text(10), "höh");
  EXPECT_EQ(in.u32(), 0x89ABCDEFu);
  float f2[2];
  double d2[1];
  in.f32(f2, 2);
  in.f64(d2, 1);
  EXPECT_EQ(f2[0], 1.5f);
  EXPECT_TRUE(std::signbit(f2[1]));
  EXPECT_EQ(d2[0], 1e-300);
  EXPECT_NO_THROW(in.finish());
  EXPECT_THROW(in.u8(), gw::ValueError);
}

TEST(Bytes, PackedValuesOfEveryWidthComeBack) {
  for (int width = 1; width <= 56; ++width) {
    for (const size_t count : {0, 1, 7, 8, 9, 100}) {
      std::vector<int64_t> values;
      for (size_t i = 0; i < count; ++i)
        values.push_back(static_cast<int64_t>(gw::Rng(1).bits(i) >> (64 - width)));
      ByteWriter out;
      out.packed(values);
      EXPECT_LE(out.bytes.size(), 1 + (count * static_cast<size_t>(width) + 7) / 8);
      ByteReader in(out.bytes, "test");
      EXPECT_EQ(in.packed(count, int64_t{1} << width), values);
      EXPECT_EQ(in.left(), 0u);
    }
  }
}

// A length that lies must cost nothing: it is compared with the bytes that are there before anything is
// reserved.
TEST(Bytes, LengthsAreCheckedFirst) {
  const auto refused = [](const std::string& bytes, auto&& read) {
    ByteReader in(bytes, "test");
    EXPECT_THROW(read(in), gw::ValueError);
  };
  refused(std::string("\x01\xff", 2), [](ByteReader& in) { in.packed(size_t{1} << 60, 2); });
  refused(std::string("\x00\xff", 2), [](ByteReader& in) { in.packed(4, 2); });
  refused(std::string("\x39\xff", 2), [](ByteReader& in) { in.packed(0, 2); });
  refused(std::string("\x02\x03", 2), [](ByteReader& in) { in.packed(1, 3); });
  refused(std::string(12, '\xff'), [](ByteReader& in) { in.varint(); });
  refused(
      "\x05"
      "abcd",
      [](ByteReader& in) { in.text(10); });
  refused(
      "\x05"
      "abcde",
      [](ByteReader& in) { in.text(4); });
  refused("a", [](ByteReader& in) { in.finish(); });
}

}  // namespace
