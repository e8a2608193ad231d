// PNG and JPEG files, good, odd and hostile, and how they get another size.
#include <gtest/gtest.h>

#include "gatewright/data/picture.h"
#include "tests/data/picture_writers.h"
#include "tests/data/temp_directory.h"
#include "tests/fuzz/check_picture.h"
#include "tests/fuzz/replay.h"

namespace gw::test::picture_cases {

gw::Picture decoded(const std::string& file) { return gw::decode_picture(file, "a file"); }

/// The planes [channels, height, width] of a picture after a fit.
std::string fitted(const gw::Picture& picture, const gw::PictureShape& wanted, bool crop = false) {
  std::string planes(static_cast<size_t>(wanted.channels * wanted.height * wanted.width), '\0');
  gw::fit_picture(picture, wanted, crop, reinterpret_cast<uint8_t*>(planes.data()));
  return planes;
}

/// The largest difference of two texts of bytes of equal length.
int distance(const std::string& a, const std::string& b) {
  int most = a.size() == b.size() ? 0 : 1000;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    most = std::max(most, std::abs(static_cast<int>(static_cast<unsigned char>(a[i])) -
                                   static_cast<int>(static_cast<unsigned char>(b[i]))));
  return most;
}

TEST(Pictures, PngGivesItsBytes) {
  for (const int64_t channels : {1, 3}) {
    const auto pixels = some_pixels(channels, 9, 7);
    const auto file = png_of(channels, 9, 7, pixels);
    const auto picture = decoded(file);
    EXPECT_EQ(picture.pixels, pixels);
    EXPECT_TRUE(picture.shape == (gw::PictureShape{channels, 9, 7}));
    EXPECT_TRUE(gw::picture_shape(file, "a file") == picture.shape);
  }
}

TEST(Pictures, PngLosesItsTransparency) {
  const auto colours = some_pixels(3, 4, 5);
  std::string with_alpha, sixteen;
  for (size_t i = 0; i < colours.size(); i += 3)
    with_alpha += colours.substr(i, 3) + static_cast<char>(i % 2 == 0 ? 0 : 200);
  EXPECT_EQ(decoded(png_of(4, 5, with_alpha, PNG_FORMAT_RGBA)).pixels, colours);
  const auto grey = some_pixels(1, 4, 5);
  std::string grey_alpha;
  for (const char value : grey) grey_alpha += std::string{value, '\x01'};
  EXPECT_EQ(decoded(png_of(4, 5, grey_alpha, PNG_FORMAT_GA)).pixels, grey);
}

// Within what the compression costs at quality 95; a channel order or a plane mixed up is far beyond it.
TEST(Pictures, JpegComesNearItsPixels) {
  for (const bool progressive : {false, true}) {
    for (const int64_t channels : {1, 3}) {
      std::string pixels;  // a slope, which the compression hardly changes; each channel another
      for (int64_t y = 0; y < 16; ++y)
        for (int64_t x = 0; x < 24; ++x)
          for (int64_t c = 0; c < channels; ++c) pixels += static_cast<char>(40 + 4 * x + 2 * y + 30 * c);
      const auto file = jpeg_of(channels, 16, 24, pixels, progressive);
      const auto picture = decoded(file);
      EXPECT_TRUE(picture.shape == (gw::PictureShape{channels, 16, 24}));
      EXPECT_LE(distance(picture.pixels, pixels), 12);
      EXPECT_TRUE(gw::picture_shape(file, "a file") == picture.shape);
    }
  }
}

// A decoder of browsers fills what is missing with grey; here a file that is cut short is refused, wherever.
TEST(Pictures, FilesThatAreCutShortAreRefusedByName) {
  const std::vector<std::string> files = {png_of(3, 20, 20, some_pixels(3, 20, 20)),
                                          jpeg_of(3, 40, 40, some_pixels(3, 40, 40)),
                                          jpeg_of(1, 40, 40, some_pixels(1, 40, 40), true)};
  for (const auto& file : files) {
    ASSERT_NO_THROW(decoded(file));
    for (const size_t left :
         {size_t{0}, size_t{1}, size_t{9}, size_t{40}, file.size() / 2, file.size() * 9 / 10}) {
      const auto text = value_error_of([&] { gw::decode_picture(file.substr(0, left), "photos/x"); });
      EXPECT_NE(text.find("photos/x"), std::string::npos) << left << " bytes: " << text;
    }
  }
}

TEST(Pictures, WhatIsNoPictureIsRefused) {
  EXPECT_NE(value_error_of([] { decoded("GIF89a…"); }).find("expected a PNG or a JPEG file, got another one"),
            std::string::npos);
  EXPECT_NE(value_error_of([] { decoded(""); }).find("an empty file"), std::string::npos);
  EXPECT_NE(value_error_of([] { decoded(jpeg_of(4, 8, 8, some_pixels(4, 8, 8))); }).find("(CMYK)"),
            std::string::npos);
}

// The size in a header is refused before memory of that size is asked for: these files have a few bytes.
TEST(Pictures, SizesAreLimitedBeforeAnythingIsAllocated) {
  auto png = png_of(1, 1, 1, "x");
  const auto big_endian = [](uint32_t v) {
    return std::string{static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8),
                       static_cast<char>(v)};
  };
  const auto sized = [&](uint32_t width, uint32_t height) {
    auto file = png;
    file.replace(16, 8, big_endian(width) + big_endian(height));
    const auto crc = ::crc32(0, reinterpret_cast<const Bytef*>(file.data() + 12), 17);
    return file.replace(29, 4, big_endian(static_cast<uint32_t>(crc)));
  };
  for (const auto& [width, height] : std::vector<std::pair<uint32_t, uint32_t>>{
           {20000, 1}, {1, 20000}, {16000, 16000}, {1u << 30, 1u << 30}}) {
    for (const bool whole : {false, true}) {
      const auto file = sized(width, height);
      const auto text =
          value_error_of([&] { whole ? void(decoded(file)) : void(gw::picture_shape(file, "f")); });
      EXPECT_NE(text.find("picture \"" + std::string(whole ? "a file" : "f")), std::string::npos) << text;
    }
  }
  EXPECT_NE(value_error_of([&] { decoded(sized(16000, 16000)); }).find("got 16000 x 16000; make it smaller"),
            std::string::npos);
  auto jpeg = jpeg_of(1, 8, 8, some_pixels(1, 8, 8));
  const auto frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, "\x7f\xff\x7f\xff");
  EXPECT_NE(value_error_of([&] { decoded(jpeg); }).find("got 32767 x 32767"), std::string::npos);
}

TEST(Pictures, TheirOwnSizeIsACopy) {
  for (const int64_t channels : {1, 3}) {
    const gw::Picture picture{{channels, 5, 6}, some_pixels(channels, 5, 6)};
    std::string planes;
    for (int64_t c = 0; c < channels; ++c)
      for (size_t i = 0; i < 30; ++i)
        planes += picture.pixels[i * static_cast<size_t>(channels) + static_cast<size_t>(c)];
    for (const bool crop : {false, true}) EXPECT_EQ(fitted(picture, {channels, 5, 6}, crop), planes);
  }
}

TEST(Pictures, GreyIsWeightedAndColourOfGreyIsGrey) {
  const gw::Picture primaries{{3, 1, 4}, std::string("\xff\0\0\0\xff\0\0\0\xff\xff\xff\xff", 12)};
  EXPECT_EQ(fitted(primaries, {1, 1, 4}), "\x4c\x96\x1d\xff");  // 76, 150, 29: ITU-R 601
  EXPECT_EQ(fitted({{1, 1, 2}, "ab"}, {3, 1, 2}), "ababab");
}

TEST(Pictures, ShrinkingAveragesAndGrowingInterpolates) {
  // Halving: each pixel of the result is a triangle of four, 1/8 3/8 3/8 1/8, over its place.
  const gw::Picture stripes{{1, 1, 8}, std::string("\0\x50\0\x50\0\x50\0\x50", 8)};
  EXPECT_EQ(fitted(stripes, {1, 1, 4}).substr(1, 2), "\x28\x28") << "even stripes become their mean";
  const gw::Picture step{{1, 2, 2}, std::string("\0\x64\0\x64", 4)};
  EXPECT_EQ(fitted(step, {1, 1, 4}), std::string("\0\x19\x4b\x64", 4));
  const gw::Picture flat{{3, 7, 11}, std::string(3 * 7 * 11, '\xc8')};
  for (const auto& shape : {gw::PictureShape{3, 3, 5}, gw::PictureShape{3, 30, 2}, gw::PictureShape{1, 1, 1}})
    for (const bool crop : {false, true})
      for (const char value : fitted(flat, shape, crop)) ASSERT_EQ(value, '\xc8');
}

TEST(Pictures, CroppingTakesTheMiddle) {
  std::string pixels(4 * 12, '\x0a');
  for (size_t y = 0; y < 4; ++y)
    for (size_t x = 4; x < 8; ++x) pixels[y * 12 + x] = '\xc8';
  const gw::Picture wide{{1, 4, 12}, pixels};
  EXPECT_EQ(fitted(wide, {1, 4, 4}, true), std::string(16, '\xc8'));
  EXPECT_EQ(fitted(wide, {1, 4, 4}, false)[0], '\x0a');
}

TEST(PicturesFuzz, CorpusAndItsMutationsAreReadOrRefused) {
  const auto counts = replay("picture", 2000, [](std::string_view bytes) { return check_picture(bytes); });
  EXPECT_GE(counts.accepted, 40) << "mutations that are still valid exercise the decoders beyond the header";
  EXPECT_GE(counts.refused, 500);
}

}  // namespace gw::test::picture_cases
