#include <gtest/gtest.h>
#include <zlib.h>

#include "gatewright/base/error.h"
#include "gatewright/report/png.h"

using namespace gw;

namespace gw::test::png_cases {

uint32_t big_endian(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes.at(at + i));
  return value;
}

/// The bodies of the chunks, with every checksum and the order checked.
std::vector<std::pair<std::string, std::string>> chunks(const std::string& png) {
  std::vector<std::pair<std::string, std::string>> found;
  EXPECT_EQ(png.substr(0, 8), "\x89PNG\r\n\x1a\n");
  for (size_t at = 8; at < png.size();) {
    const uint32_t length = big_endian(png, at);
    const std::string data = png.substr(at + 4, length + 4);
    EXPECT_EQ(big_endian(png, at + 8 + length),
              crc32(0, reinterpret_cast<const Bytef*>(data.data()), static_cast<uInt>(data.size())));
    found.emplace_back(data.substr(0, 4), data.substr(4));
    at += 12 + length;
  }
  return found;
}

/// Planar pixels of a PNG with filter 0.
std::vector<uint8_t> decode(const std::string& png, size_t channels, size_t height, size_t width) {
  const auto parts = chunks(png);
  EXPECT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[0].first + parts[1].first + parts[2].first, "IHDRIDATIEND");
  EXPECT_EQ(big_endian(parts[0].second, 0), width);
  EXPECT_EQ(big_endian(parts[0].second, 4), height);
  EXPECT_EQ(parts[0].second.substr(8), (std::string{8, channels == 1 ? '\0' : '\2', 0, 0, 0}));
  std::string rows(height * (1 + width * channels), 'x');
  uLongf size = rows.size();
  EXPECT_EQ(uncompress(reinterpret_cast<Bytef*>(rows.data()), &size,
                       reinterpret_cast<const Bytef*>(parts[1].second.data()), parts[1].second.size()),
            Z_OK);
  EXPECT_EQ(size, rows.size());
  std::vector<uint8_t> pixels(channels * height * width);
  for (size_t y = 0; y < height; ++y) {
    EXPECT_EQ(rows[y * (1 + width * channels)], 0);
    for (size_t x = 0; x < width; ++x)
      for (size_t c = 0; c < channels; ++c)
        pixels[(c * height + y) * width + x] =
            static_cast<uint8_t>(rows[y * (1 + width * channels) + 1 + x * channels + c]);
  }
  return pixels;
}

TEST(Png, RoundTrip) {
  for (size_t channels : {1u, 3u}) {
    std::vector<uint8_t> pixels(channels * 5 * 7);
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 37);
    EXPECT_EQ(decode(encode_png(pixels, static_cast<int64_t>(channels), 5, 7), channels, 5, 7), pixels);
  }
}

TEST(Png, RefusesWhatIsNoImage) {
  EXPECT_THROW(encode_png({1, 2}, 2, 1, 1), ValueError);
  EXPECT_THROW(encode_png({}, 1, 0, 0), ValueError);
  EXPECT_THROW(encode_png({1}, 1, 1, 2), ValueError);
  EXPECT_THROW(encode_png({1}, 1, int64_t{1} << 62, 4), ValueError);
}

}  // namespace gw::test::png_cases
