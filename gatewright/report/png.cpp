#include "gatewright/report/png.h"

#include <zlib.h>

#include "gatewright/base/check.h"

namespace gw::inline report {
namespace {

std::string big_endian(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

std::string chunk(std::string_view type, std::string_view body) {
  std::string data(type);
  data += body;
  const auto crc = ::crc32(0, reinterpret_cast<const Bytef*>(data.data()), static_cast<uInt>(data.size()));
  return big_endian(static_cast<uint32_t>(body.size())) + data + big_endian(static_cast<uint32_t>(crc));
}

/// Interleaves the planes; every row starts with its filter number, 0.
std::string scanlines(const std::vector<uint8_t>& pixels, int64_t channels, int64_t height, int64_t width) {
  std::string rows;
  rows.reserve(static_cast<size_t>(height * (1 + width * channels)));
  for (int64_t y = 0; y < height; ++y) {
    rows.push_back(0);
    for (int64_t x = 0; x < width; ++x)
      for (int64_t c = 0; c < channels; ++c)
        rows.push_back(static_cast<char>(pixels[static_cast<size_t>((c * height + y) * width + x)]));
  }
  return rows;
}

std::string deflate(const std::string& bytes) {
  uLongf size = ::compressBound(bytes.size());
  std::string packed(size, '\0');
  const int status = ::compress2(reinterpret_cast<Bytef*>(packed.data()), &size,
                                 reinterpret_cast<const Bytef*>(bytes.data()), bytes.size(), 9);
  GW_ENSURE(status == Z_OK, "png: zlib refused {} bytes with status {}", bytes.size(), status);
  packed.resize(size);
  return packed;
}

}  // namespace

std::string encode_png(const std::vector<uint8_t>& pixels, int64_t channels, int64_t height, int64_t width) {
  GW_CHECK(channels == 1 || channels == 3,
           "png: expected 1 or 3 channels, got {}; convert the image to grey or RGB", channels);
  GW_CHECK(height >= 1 && width >= 1 && height <= 4096 && width <= 4096,
           "png: expected sides of 1 … 4096 pixels, got {} × {}; resize the image", height, width);
  GW_CHECK(static_cast<int64_t>(pixels.size()) == channels * height * width,
           "png: expected {} × {} × {} = {} bytes, got {}; pass planar u8 pixels", channels, height, width,
           channels * height * width, pixels.size());
  const char colour_type = channels == 1 ? 0 : 2;
  std::string header = big_endian(static_cast<uint32_t>(width)) + big_endian(static_cast<uint32_t>(height));
  header += std::string{8, colour_type, 0, 0,
                        0};  // depth, colour type, deflate, adaptive filtering, no interlacing
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", header) +
         chunk("IDAT", deflate(scanlines(pixels, channels, height, width))) + chunk("IEND", "");
}

}  // namespace gw::inline report
