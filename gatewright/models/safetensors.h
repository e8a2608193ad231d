#pragma once
// Checkpoints in the safetensors format: 8 bytes with the length of the header (little-endian), a JSON
// header, the bytes of the tensors. Files are byte for byte those of the Python package.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace gw::inline models {

struct SafetensorsFile {
  std::map<std::string, at::Tensor>
      tensors;  ///< F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL, on the CPU when read
  std::map<std::string, std::string> metadata;  ///< free text, "__metadata__" in the header
  std::map<std::string, std::string> unread =
      {};  ///< tensors of types that libtorch 1.13 has not (U16 U32 U64 F8_…): their types by name

  /// Errors: ValueError with the near miss for a name that is not there, and for one of `unread`.
  const at::Tensor& tensor(const std::string& name) const;
};

/// The bytes of the file: tensors by falling width of their elements and then by name, so that every one is
/// aligned; header padded to 8 bytes.
/// Errors: ValueError for a file with unread tensors, which would be lost, an undefined or sparse tensor, a
///         dtype outside the list, a name that is no UTF-8 or "__metadata__".
std::string write_safetensors(const SafetensorsFile& file);

/// The same into a file, atomically: a failed write keeps the old file (gatewright/base/file.h). Errors: as
/// above, and IoError.
void save_safetensors(const std::string& path, const SafetensorsFile& file);

/// Reads and validates; `name` is what messages call the file. Hostile files are expected: every length is
/// checked against the bytes present before anything is allocated, the tensors must cover the content without
/// overlap, hole or rest, and the JSON parser keeps no stack.
/// Errors: ValueError naming the file, the tensor, what was expected and what was found; other formats
///         (pickles, zip archives, pointers of Git LFS) are called what they are.
/// Cost:   one copy of the tensors' bytes.
/// Source: github.com/huggingface/safetensors, README "Format"; differs: also refuses fields that the format
///         does not name, a BOOL byte above 1, more than 64 dimensions, and 64-bit overflow of the non-zero
///         sizes of an empty tensor.
SafetensorsFile parse_safetensors(std::string_view bytes, const std::string& name);

/// The same from a file of at most `limit_bytes`. Errors: as above, and IoError.
SafetensorsFile load_safetensors(const std::string& path, uint64_t limit_bytes = uint64_t{1} << 40);

}  // namespace gw::inline models
