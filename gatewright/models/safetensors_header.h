#pragma once
// The header of a safetensors file, which is not trusted, and the limits of the format. Of safetensors.cpp
// alone.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace gw::inline models {

constexpr uint64_t kSafetensorsHeaderBytes = 100'000'000;  // the limit of the public format
constexpr const char* kSafetensorsMetadata = "__metadata__";

struct SafetensorsDtype {
  at::ScalarType type;
  const char* name;
  uint64_t bytes;
};

/// In the order of the Python package's files: wide elements first keeps every tensor aligned without
/// padding.
constexpr SafetensorsDtype kSafetensorsDtypes[] = {
    {at::kLong, "I64", 8},      {at::kDouble, "F64", 8}, {at::kFloat, "F32", 4}, {at::kInt, "I32", 4},
    {at::kBFloat16, "BF16", 2}, {at::kHalf, "F16", 2},   {at::kShort, "I16", 2}, {at::kChar, "I8", 1},
    {at::kByte, "U8", 1},       {at::kBool, "BOOL", 1}};
std::vector<std::string> safetensors_dtype_names();

/// Text of an untrusted file for a message: short.
std::string shown_safetensors_name(std::string_view text);

struct SafetensorsEntry {
  const SafetensorsDtype* dtype = nullptr;
  std::vector<uint64_t> shape, offsets;
  bool has_shape = false, has_offsets = false;
};

struct SafetensorsHeader {
  std::map<std::string, SafetensorsEntry> tensors;
  std::map<std::string, std::string> metadata;
};

/// The header's text, which starts with an object at the very first byte. `bytes`: the whole file. Errors:
/// ValueError, which names the file.
std::string_view safetensors_header_text(std::string_view bytes, const std::string& name);

/// What the header says, all checked: every entry against itself, and that the tensors cover the
/// `content_bytes` after the header without overlap, hole or rest. Afterwards offsets[1] - offsets[0] is a
/// tensor's size, and every size of its shape fits int64. Errors: ValueError.
SafetensorsHeader parse_safetensors_header(std::string_view text, uint64_t content_bytes,
                                           const std::string& name);

}  // namespace gw::inline models
