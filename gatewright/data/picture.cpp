#include "gatewright/data/picture.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "gatewright/base/check.h"
#include "gatewright/data/picture_codecs.h"

namespace gw::inline data {
namespace {

PictureShape read_picture(std::string_view bytes, const std::string& name, const PictureLimits& limits,
                          std::string* pixels) {
  constexpr std::string_view kPng = "\x89PNG\r\n\x1a\n", kJpeg = "\xff\xd8\xff";
  if (bytes.substr(0, kPng.size()) == kPng) return read_png(bytes, name, limits, pixels);
  if (bytes.substr(0, kJpeg.size()) == kJpeg) return read_jpeg(bytes, name, limits, pixels);
  fail("picture \"{}\": expected a PNG or a JPEG file, got {}; convert it", name,
       bytes.empty() ? "an empty file" : "another one");
}

/// One axis of a resize: for every target the first source, and the weights of it and its followers.
struct Taps {
  std::vector<int64_t> first;
  std::vector<std::vector<float>> weight;
};

/// Targets 0 … out − 1 over the sources [begin, begin + length) of `size`.
Taps triangle_taps(double begin, double length, int64_t size, int64_t out) {
  Taps taps;
  const double scale = length / static_cast<double>(out), reach = std::max(scale, 1.0);
  for (int64_t i = 0; i < out; ++i) {
    const double centre = begin + (static_cast<double>(i) + 0.5) * scale - 0.5;
    const auto low = std::max<int64_t>(0, static_cast<int64_t>(std::ceil(centre - reach)));
    const auto high = std::min<int64_t>(size - 1, static_cast<int64_t>(std::floor(centre + reach)));
    std::vector<float> weight;
    double sum = 0;
    for (int64_t j = low; j <= high; ++j) {
      const double w = std::max(0.0, 1 - std::abs(static_cast<double>(j) - centre) / reach);
      weight.push_back(static_cast<float>(w)), sum += w;
    }
    for (float& w : weight) w = static_cast<float>(w / sum);
    taps.first.push_back(low), taps.weight.push_back(std::move(weight));
  }
  return taps;
}

/// The plane of channel c of `channels`, from a picture with as many or another number.
std::vector<float> plane_of(const Picture& picture, int64_t c, int64_t channels) {
  const int64_t own = picture.shape.channels, count = picture.shape.height * picture.shape.width;
  const auto* in = reinterpret_cast<const uint8_t*>(picture.pixels.data());
  std::vector<float> plane(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t* p = in + i * own;
    // Integers: the same grey everywhere, and 255 of white.
    const int64_t value = own == channels ? p[c]
                          : own == 1      ? p[0]
                                          : (19595 * p[0] + 38470 * p[1] + 7471 * p[2] + 32768) >> 16;
    plane[static_cast<size_t>(i)] = static_cast<float>(value);
  }
  return plane;
}

/// `rows` lines of `in` [rows, width] become lines of taps.first.size() values.
std::vector<float> along_rows(const std::vector<float>& in, int64_t rows, int64_t width, const Taps& taps) {
  const auto out_width = static_cast<int64_t>(taps.first.size());
  std::vector<float> out(static_cast<size_t>(rows * out_width));
  for (int64_t y = 0; y < rows; ++y) {
    for (int64_t x = 0; x < out_width; ++x) {
      const auto& weight = taps.weight[static_cast<size_t>(x)];
      const float* source = in.data() + y * width + taps.first[static_cast<size_t>(x)];
      float sum = 0;
      for (size_t k = 0; k < weight.size(); ++k) sum += weight[k] * source[k];
      out[static_cast<size_t>(y * out_width + x)] = sum;
    }
  }
  return out;
}

void down_columns(const std::vector<float>& in, int64_t width, const Taps& taps, uint8_t* plane) {
  std::vector<float> line(static_cast<size_t>(width));
  for (size_t y = 0; y < taps.first.size(); ++y) {
    std::fill(line.begin(), line.end(), 0.0f);
    for (size_t k = 0; k < taps.weight[y].size(); ++k) {
      const float* source = in.data() + (taps.first[y] + static_cast<int64_t>(k)) * width;
      for (int64_t x = 0; x < width; ++x) line[static_cast<size_t>(x)] += taps.weight[y][k] * source[x];
    }
    for (int64_t x = 0; x < width; ++x) {
      const float rounded = std::floor(line[static_cast<size_t>(x)] + 0.5f);
      plane[static_cast<int64_t>(y) * width + x] = static_cast<uint8_t>(std::clamp(rounded, 0.0f, 255.0f));
    }
  }
}

}  // namespace

void check_picture_size(int64_t height, int64_t width, const std::string& name, const PictureLimits& limits) {
  GW_CHECK(height >= 1 && width >= 1 && height <= limits.side && width <= limits.side &&
               height <= limits.pixels / width,
           "picture \"{}\": expected sides of 1 to {} and at most {} pixels, got {} x {}; make it smaller",
           name, limits.side, limits.pixels, height, width);
}

PictureShape picture_shape(std::string_view bytes, const std::string& name, const PictureLimits& limits) {
  return read_picture(bytes, name, limits, nullptr);
}

Picture decode_picture(std::string_view bytes, const std::string& name, const PictureLimits& limits) {
  Picture picture;
  picture.shape = read_picture(bytes, name, limits, &picture.pixels);
  return picture;
}

void fit_picture(const Picture& picture, const PictureShape& wanted, bool crop, uint8_t* planes) {
  const auto [own, height, width] = picture.shape;
  double part_height = static_cast<double>(height), part_width = static_cast<double>(width);
  if (crop) {
    const double scale = std::min(part_height / static_cast<double>(wanted.height),
                                  part_width / static_cast<double>(wanted.width));
    part_height = scale * static_cast<double>(wanted.height),
    part_width = scale * static_cast<double>(wanted.width);
  }
  const Taps columns =
      triangle_taps((static_cast<double>(width) - part_width) / 2, part_width, width, wanted.width);
  const Taps rows =
      triangle_taps((static_cast<double>(height) - part_height) / 2, part_height, height, wanted.height);
  for (int64_t c = 0; c < wanted.channels; ++c) {
    const auto narrow = along_rows(plane_of(picture, c, wanted.channels), height, width, columns);
    down_columns(narrow, wanted.width, rows, planes + c * wanted.height * wanted.width);
  }
}

}  // namespace gw::inline data
