#include <png.h>

#include "gatewright/base/check.h"
#include "gatewright/data/picture_codecs.h"

namespace gw::inline data {
namespace {

/// libpng's reader without jumps over C++ frames; freed whatever happens.
struct PngReader {
  png_image image{};
  PngReader() { image.version = PNG_IMAGE_VERSION; }
  ~PngReader() { png_image_free(&image); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;
};

/// Colours without their transparency: the last of `with` samples of every pixel is left out, in place.
void drop_alpha(std::string& pixels, size_t with) {
  size_t to = 0;
  for (size_t from = 0; from < pixels.size(); from += with)
    for (size_t c = 0; c + 1 < with; ++c) pixels[to++] = pixels[from + c];
  pixels.resize(to);
}

}  // namespace

PictureShape read_png(std::string_view bytes, const std::string& name, const PictureLimits& limits,
                      std::string* pixels) {
  PngReader reader;
  auto& image = reader.image;
  GW_CHECK(png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()) != 0,
           "picture \"{}\": expected a PNG file, got {}; it is damaged or cut short", name, image.message);
  check_picture_size(image.height, image.width, name, limits);
  const bool colour = (image.format & PNG_FORMAT_FLAG_COLOR) != 0;
  const bool alpha = (image.format & PNG_FORMAT_FLAG_ALPHA) != 0;
  const PictureShape shape{colour ? 3 : 1, image.height, image.width};
  if (pixels == nullptr) return shape;
  // Samples as they are: 16 bits without a word on their scale are meant as 8 bits are.
  image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  image.format = (colour ? PNG_FORMAT_FLAG_COLOR : 0u) | (alpha ? PNG_FORMAT_FLAG_ALPHA : 0u);
  pixels->resize(PNG_IMAGE_SIZE(image));
  GW_CHECK(png_image_finish_read(&image, nullptr, pixels->data(), 0, nullptr) != 0,
           "picture \"{}\": expected {} x {} pixels, got {}; it is damaged or cut short", name, shape.height,
           shape.width, image.message);
  if (alpha) drop_alpha(*pixels, static_cast<size_t>(shape.channels) + 1);
  return shape;
}

}  // namespace gw::inline data
