#pragma once
// Small PNG files for the report: 8 bits per channel, grey or RGB, no palette, no interlacing.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gw {

/// Encodes planar pixels as a PNG file.
/// Shapes: pixels [C, H, W], C = 1 (grey) or 3 (RGB).
/// Errors: ValueError for another C, an empty image, a side above 4096, or a size that is not C·H·W.
/// Source: W3C Portable Network Graphics specification, third edition; differs: filter 0 only (the images are tiny).
std::string encode_png(const std::vector<uint8_t>& pixels, int64_t channels, int64_t height, int64_t width);

/// Base64 with padding (RFC 4648, section 4).
std::string base64_encode(std::string_view bytes);
/// Errors: ValueError naming `what` for a length that is no multiple of 4 or a character outside the alphabet.
std::string base64_decode(std::string_view text, const std::string& what);

}  // namespace gw
