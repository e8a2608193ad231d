#pragma once
#include <cstdint>
#include <string_view>

namespace gw::inline base {

/// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78) of `bytes`; `before` is the sum of what came before
/// them.
/// Cost:   about a nanosecond per byte, eight bytes a step.
/// Source: RFC 3720, appendix B.4, whose test vectors the test repeats; slicing by eight as Intel published
///         it in 2006.
uint32_t crc32c(std::string_view bytes, uint32_t before = 0);

}  // namespace gw::inline base
