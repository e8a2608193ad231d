#include "gatewright/models/safetensors.h"

#include <ATen/ops/empty.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/json.h"
#include "gatewright/base/options.h"
#include "gatewright/models/safetensors_header.h"

namespace gw::inline models {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "the format is little-endian and tensors are copied as they are");

at::Tensor tensor_of(const std::string& file, const std::string& name, const SafetensorsEntry& entry,
                     std::string_view content) {
  const std::string_view bytes = content.substr(entry.offsets[0], entry.offsets[1] - entry.offsets[0]);
  if (entry.dtype->type == at::kBool) {  // any other byte in a bool is undefined behaviour
    const auto odd = std::find_if(bytes.begin(), bytes.end(), [](char c) { return c != 0 && c != 1; });
    GW_CHECK(odd == bytes.end(),
             "safetensors \"{}\": expected bytes 0 and 1 in the BOOL tensor \"{}\", got {}", file,
             shown_safetensors_name(name), odd == bytes.end() ? 0 : static_cast<unsigned char>(*odd));
  }
  at::Tensor tensor =
      at::empty(std::vector<int64_t>(entry.shape.begin(), entry.shape.end()), entry.dtype->type);
  if (!bytes.empty()) std::memcpy(tensor.data_ptr(), bytes.data(), bytes.size());
  return tensor;
}

struct Item {
  std::string name;
  at::Tensor tensor;  ///< contiguous, on the CPU
  size_t dtype = 0;   ///< index into kSafetensorsDtypes
};

Item item_of(const std::string& name, const at::Tensor& tensor) {
  GW_CHECK(name != kSafetensorsMetadata,
           "safetensors: expected another name than \"{}\", got a tensor of this name", kSafetensorsMetadata);
  GW_CHECK(tensor.defined() && tensor.layout() == at::kStrided,
           "safetensors: expected a dense tensor \"{}\", got {}", shown_safetensors_name(name),
           tensor.defined() ? "a sparse one" : "an undefined one");
  const auto* dtype =
      std::find_if(std::begin(kSafetensorsDtypes), std::end(kSafetensorsDtypes),
                   [&](const SafetensorsDtype& known) { return known.type == tensor.scalar_type(); });
  GW_CHECK(dtype != std::end(kSafetensorsDtypes), "safetensors: expected tensor \"{}\" of dtype {}, got {}",
           shown_safetensors_name(name), fmt::join(safetensors_dtype_names(), " "),
           c10::toString(tensor.scalar_type()));
  return {name, tensor.detach().to(at::kCPU).contiguous(),
          static_cast<size_t>(dtype - std::begin(kSafetensorsDtypes))};
}

std::string quoted(const std::string& text) {
  try {
    return Json(text).dump();
  } catch (const JsonError&) {
    fail("safetensors: expected names and metadata in UTF-8, got \"{}\"", shown_safetensors_name(text));
  }
}

std::string header_of(const std::vector<Item>& items, const std::map<std::string, std::string>& metadata) {
  std::vector<std::string> parts;
  if (!metadata.empty()) {
    std::vector<std::string> pairs;
    for (const auto& [key, value] : metadata) pairs.push_back(quoted(key) + ":" + quoted(value));
    parts.push_back(fmt::format("\"{}\":{{{}}}", kSafetensorsMetadata, fmt::join(pairs, ",")));
  }
  uint64_t begin = 0;
  for (const auto& item : items) {
    const uint64_t end = begin + item.tensor.nbytes();
    parts.push_back(fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                                quoted(item.name), kSafetensorsDtypes[item.dtype].name,
                                fmt::join(item.tensor.sizes(), ","), begin, end));
    begin = end;
  }
  std::string text = fmt::format("{{{}}}", fmt::join(parts, ","));
  text.append((8 - text.size() % 8) % 8, ' ');
  GW_CHECK(text.size() <= kSafetensorsHeaderBytes,
           "safetensors: expected a header of at most {} bytes, got {}; shorten names or metadata",
           kSafetensorsHeaderBytes, text.size());
  const uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + text;
}

class StringWriter : public FileWriter {
 public:
  std::string bytes;
  void write(std::string_view more) override { bytes += more; }
};

std::vector<Item> items_of(const SafetensorsFile& file) {
  GW_CHECK(file.unread.empty(),
           "safetensors: expected tensors that were read, got \"{}\" of type {}, which libtorch 1.13 has not",
           shown_safetensors_name(file.unread.begin()->first), file.unread.begin()->second);
  std::vector<Item> items;
  for (const auto& [name, tensor] : file.tensors) items.push_back(item_of(name, tensor));
  std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    return a.dtype < b.dtype;
  });  // the map sorted the names
  return items;
}

void write_to(FileWriter& writer, const std::vector<Item>& items, const std::string& header) {
  writer.write(header);
  for (const auto& item : items) {
    if (item.tensor.numel() > 0)
      writer.write({static_cast<const char*>(item.tensor.data_ptr()), item.tensor.nbytes()});
  }
}

}  // namespace

const at::Tensor& SafetensorsFile::tensor(const std::string& name) const {
  const auto skipped = unread.find(name);
  GW_CHECK(
      skipped == unread.end(),
      "safetensors: expected the tensor \"{}\" in one of {}, got {}, which libtorch 1.13 has not; convert it",
      shown_safetensors_name(name), fmt::join(safetensors_dtype_names(), " "),
      skipped == unread.end() ? "" : skipped->second);
  const auto found = tensors.find(name);
  if (found != tensors.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& item : tensors) names.push_back(shown_safetensors_name(item.first));
  fail("safetensors: no tensor \"{}\"{}", shown_safetensors_name(name), near_miss(name, names));
}

std::string write_safetensors(const SafetensorsFile& file) {
  const auto items = items_of(file);
  StringWriter writer;
  write_to(writer, items, header_of(items, file.metadata));
  return std::move(writer.bytes);
}

void save_safetensors(const std::string& path, const SafetensorsFile& file) {
  const auto items = items_of(file);
  const std::string header = header_of(items, file.metadata);
  write_atomic(path, [&](FileWriter& writer) { write_to(writer, items, header); });
}

SafetensorsFile parse_safetensors(std::string_view bytes, const std::string& name) {
  const std::string_view text = safetensors_header_text(bytes, name), content = bytes.substr(8 + text.size());
  auto header = parse_safetensors_header(text, content.size(), name);
  SafetensorsFile file;
  file.metadata = std::move(header.metadata);
  for (const auto& [tensor, entry] : header.tensors) {
    if (entry.dtype->type == at::ScalarType::Undefined)
      file.unread[tensor] = entry.dtype->name;
    else
      file.tensors[tensor] = tensor_of(name, tensor, entry, content);
  }
  return file;
}

SafetensorsFile load_safetensors(const std::string& path, uint64_t limit_bytes) {
  return parse_safetensors(read_file(path, limit_bytes), path);
}

}  // namespace gw::inline models
