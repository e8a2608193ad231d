#pragma once
// Small PNG and JPEG files, written by the libraries that read them.
// clang-format off
#include <cstdio>  // jpeglib.h wants it before it
#include <jpeglib.h>
// clang-format on
#include <png.h>

#include <cstdlib>
#include <string>

#include "gatewright/base/rng.h"
#include "gatewright/data/picture.h"

namespace gw::test {

/// Random pixels over a slope, [height][width][channels].
inline std::string some_pixels(int64_t channels, int64_t height, int64_t width, uint64_t seed = 1) {
  std::string pixels;
  for (int64_t i = 0; i < channels * height * width; ++i)
    pixels += static_cast<char>(Rng(seed).below(static_cast<uint64_t>(i), 128) +
                                static_cast<uint64_t>(100 * i / (channels * height * width)));
  return pixels;
}

inline std::string png_of(int64_t height, int64_t width, const std::string& pixels, uint32_t format) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.height = static_cast<uint32_t>(height), image.width = static_cast<uint32_t>(width);
  image.format = format;
  png_alloc_size_t size = 0;
  if (png_image_write_to_memory(&image, nullptr, &size, 0, pixels.data(), 0, nullptr) == 0) std::abort();
  std::string file(size, '\0');
  if (png_image_write_to_memory(&image, file.data(), &size, 0, pixels.data(), 0, nullptr) == 0) std::abort();
  file.resize(size);
  return file;
}

inline std::string png_of(int64_t channels, int64_t height, int64_t width, const std::string& pixels) {
  return png_of(height, width, pixels, channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB);
}

/// Channels 1, 3, or 4 (CMYK).
inline std::string jpeg_of(int64_t channels, int64_t height, int64_t width, const std::string& pixels,
                           bool progressive = false) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &bytes, &size);
  info.image_height = static_cast<JDIMENSION>(height), info.image_width = static_cast<JDIMENSION>(width);
  info.input_components = static_cast<int>(channels);
  info.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 95, TRUE);
  if (progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  for (int64_t y = 0; y < height; ++y) {
    auto* row = reinterpret_cast<unsigned char*>(const_cast<char*>(pixels.data())) + y * width * channels;
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::string file(reinterpret_cast<const char*>(bytes), size);
  std::free(bytes);
  return file;
}

}  // namespace gw::test
