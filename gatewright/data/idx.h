#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace gw::inline data {

/// Reads an array of bytes in the IDX format of MNIST: two zero bytes, type 0x08, the number of dimensions,
/// their sizes (32 bits, big-endian), the bytes.
/// Shapes: any with 1 to 8 dimensions → uint8 tensor; `dims` > 0 demands that many.
/// Errors: ValueError naming `name`, what was expected and what was found. Sizes are checked against the
///         bytes present before anything is allocated.
/// Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits", file formats; differs: bytes
///         (0x08) only.
at::Tensor parse_idx(std::string_view bytes, int64_t dims, const std::string& name);

/// The same from a file, plain or gzip. Errors: as above, and IoError if the file cannot be read.
at::Tensor load_idx(const std::string& path, int64_t dims, uint64_t limit_bytes);

}  // namespace gw::inline data
