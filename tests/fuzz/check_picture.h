#pragma once
#include <cstdlib>
#include <string>
#include <string_view>

#include "gatewright/base/error.h"
#include "gatewright/data/picture.h"

namespace gw::test {

/// The property that fuzzing attacks: any bytes are either refused with a ValueError or become a picture of
/// the size that their header says, within the limits, which can be brought to another size. Returns whether
/// they were accepted; aborts if the property fails.
inline bool check_picture(std::string_view bytes) {
  const PictureLimits limits{256, 1 << 14};
  Picture picture;
  try {
    picture = decode_picture(bytes, "fuzz", limits);
  } catch (const ValueError&) {
    return false;
  }
  const auto [channels, height, width] = picture.shape;
  if (!(picture_shape(bytes, "fuzz", limits) == picture.shape)) std::abort();
  if (height > limits.side || width > limits.side || height * width > limits.pixels) std::abort();
  if (static_cast<int64_t>(picture.pixels.size()) != channels * height * width) std::abort();
  std::string planes(3 * 5 * 7, '\0');
  fit_picture(picture, {3, 5, 7}, height % 2 == 0, reinterpret_cast<uint8_t*>(planes.data()));
  return true;
}

}  // namespace gw::test
