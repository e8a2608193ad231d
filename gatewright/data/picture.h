#pragma once
// Pictures in files: PNG and JPEG become bytes of the size that a network wants.
#include <cstdint>
#include <string>
#include <string_view>

namespace gw::inline data {

/// Grey (1 channel) or red, green and blue (3).
struct PictureShape {
  int64_t channels = 0, height = 0, width = 0;
  bool operator==(const PictureShape& other) const {
    return channels == other.channels && height == other.height && width == other.width;
  }
};

/// What a file may ask for. Read from its header, before anything of that size is allocated.
struct PictureLimits {
  int64_t side = 16384, pixels = int64_t{1} << 25;  ///< 33 million pixels: 100 MB in colour
};

struct Picture {
  PictureShape shape;
  std::string pixels;  ///< [height][width][channels], 8 bits each
};

/// What the header says. The first bytes decide between PNG and JPEG, not the file's name.
/// Errors: ValueError naming `name` for another format, a damaged header, a size beyond the limits, and for
///         JPEG in four colours (CMYK).
PictureShape picture_shape(std::string_view bytes, const std::string& name, const PictureLimits& limits = {});

/// The whole picture. Palettes are looked up, 16 bits become 8, what is transparent loses that (its colours
/// stay), and the orientation that a camera notes is not looked at.
/// Errors: as picture_shape, and ValueError for content that is cut short or damaged, also where the decoder
///         would go on with grey in place of what is missing, and for JPEG in more than 500 scans.
/// Cost:   memory within four times the pixels (a progressive JPEG keeps its coefficients).
/// Source: W3C PNG, third edition, by libpng; ITU T.81 by libjpeg-turbo.
Picture decode_picture(std::string_view bytes, const std::string& name, const PictureLimits& limits = {});

/// The picture in another size and number of channels, as planes.
/// Math:   grey = 0.299 R + 0.587 G + 0.114 B; colour of grey is that grey thrice. Each axis by a triangle of
///         the width of the larger of both pixels (bilinear where it grows, averaged where it shrinks).
/// Shapes: → planes [channels, height, width].
/// `crop`: the largest middle part of the wanted proportions, in place of all of it stretched.
void fit_picture(const Picture& picture, const PictureShape& wanted, bool crop, uint8_t* planes);

}  // namespace gw::inline data
