#pragma once
// Small PNG files for the report: 8 bits per channel, grey or RGB, no palette, no interlacing.
#include <cstdint>
#include <string>
#include <vector>

namespace gw::inline report {

/// Encodes planar pixels as a PNG file.
/// Shapes: pixels [C, H, W], C = 1 (grey) or 3 (RGB).
/// Errors: ValueError for another C, an empty image, a side above 4096, or a size that is not C·H·W.
/// Source: W3C Portable Network Graphics specification, third edition; differs: filter 0 only (the images are
///         tiny).
std::string encode_png(const std::vector<uint8_t>& pixels, int64_t channels, int64_t height, int64_t width);

}  // namespace gw::inline report
