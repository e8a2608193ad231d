#pragma once
// One decoder per format, behind gatewright/data/picture.h. `pixels` null: the header alone.
#include "gatewright/data/picture.h"

namespace gw::inline data {

/// Errors: ValueError "<name>: …", as picture_shape and decode_picture.
void check_picture_size(int64_t height, int64_t width, const std::string& name, const PictureLimits& limits);
PictureShape read_png(std::string_view bytes, const std::string& name, const PictureLimits& limits,
                      std::string* pixels);
PictureShape read_jpeg(std::string_view bytes, const std::string& name, const PictureLimits& limits,
                       std::string* pixels);

}  // namespace gw::inline data
