#include "gatewright/models/safetensors.h"

#include <ATen/ops/empty.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "gatewright/base/error.h"
#include "gatewright/base/file.h"
#include "gatewright/base/file_kind.h"
#include "gatewright/base/options.h"
#include "gatewright/base/shown.h"

namespace gw::inline models {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "the format is little-endian and tensors are copied as they are");

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the public format
constexpr size_t kMaxDims = 64;
constexpr const char* kMetadata = "__metadata__";

struct DtypeName {
  at::ScalarType type;
  const char* name;
  uint64_t bytes;
};

/// In the order of the Python package's files: wide elements first keeps every tensor aligned without
/// padding.
constexpr DtypeName kDtypes[] = {{at::kLong, "I64", 8},  {at::kDouble, "F64", 8},    {at::kFloat, "F32", 4},
                                 {at::kInt, "I32", 4},   {at::kBFloat16, "BF16", 2}, {at::kHalf, "F16", 2},
                                 {at::kShort, "I16", 2}, {at::kChar, "I8", 1},       {at::kByte, "U8", 1},
                                 {at::kBool, "BOOL", 1}};
/// Of the format, but not of libtorch 1.13.
constexpr DtypeName kUnreadDtypes[] = {
    {at::ScalarType::Undefined, "U64", 8},     {at::ScalarType::Undefined, "U32", 4},
    {at::ScalarType::Undefined, "U16", 2},     {at::ScalarType::Undefined, "F8_E4M3", 1},
    {at::ScalarType::Undefined, "F8_E5M2", 1}, {at::ScalarType::Undefined, "F8_E8M0", 1}};

const DtypeName* find_dtype(const std::string& name) {
  for (const auto& dtype : kDtypes)
    if (name == dtype.name) return &dtype;
  for (const auto& dtype : kUnreadDtypes)
    if (name == dtype.name) return &dtype;
  return nullptr;
}

std::vector<std::string> dtype_names() {
  std::vector<std::string> names;
  for (const auto& dtype : kDtypes) names.emplace_back(dtype.name);
  return names;
}

/// Text of an untrusted file for a message: short.
std::string shown_name(std::string_view text) { return shown(text, 60); }

struct Entry {
  const DtypeName* dtype = nullptr;
  std::vector<uint64_t> shape, offsets;
  bool has_shape = false, has_offsets = false;
};

struct Header {
  std::map<std::string, Entry> tensors;
  std::map<std::string, std::string> metadata;
};

/// Receives the header's JSON piece by piece: duplicate keys show, and nesting deeper than the format's three
/// levels stops at once.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderReader(const std::string& file) : file_(file) {}
  Header header;

  bool start_object(size_t) override {
    if (depth_ > 1) return unexpected("an object");
    in_metadata_ = depth_ == 1 && tensor_ == kMetadata;
    if (depth_ == 1 && !in_metadata_) entry_ = &header.tensors[tensor_];
    ++depth_;
    return true;
  }

  bool end_object() override {
    if (--depth_ != 1 || in_metadata_) return true;
    const char* missing = entry_->dtype == nullptr ? "dtype"
                          : !entry_->has_shape     ? "shape"
                          : !entry_->has_offsets   ? "data_offsets"
                                                   : nullptr;
    GW_CHECK(missing == nullptr, "safetensors \"{}\": expected \"{}\" for tensor \"{}\", got none", file_,
             missing, shown_name(tensor_));
    return true;
  }

  bool key(std::string& key) override {
    if (depth_ == 1) {
      const bool twice = header.tensors.count(key) > 0 || (key == kMetadata && seen_metadata_);
      GW_CHECK(!twice, "safetensors \"{}\": expected every name once, got \"{}\" twice", file_,
               shown_name(key));
      seen_metadata_ = seen_metadata_ || key == kMetadata;
      tensor_ = key;
    } else if (in_metadata_) {
      GW_CHECK(header.metadata.count(key) == 0,
               "safetensors \"{}\": expected every key of the metadata once, got \"{}\" twice", file_,
               shown_name(key));
    } else {
      start_field(key);
    }
    field_ = key;
    return true;
  }

  bool string(std::string& text) override {
    if (depth_ == 2 && in_metadata_) {
      header.metadata[field_] = text;
      return true;
    }
    if (depth_ != 2 || field_ != "dtype") return unexpected("text");
    const auto* found = find_dtype(text);
    GW_CHECK(found != nullptr, "safetensors \"{}\": unknown dtype \"{}\" of tensor \"{}\"{}", file_,
             shown_name(text), shown_name(tensor_), near_miss(text, dtype_names()));
    entry_->dtype = found;
    return true;
  }

  bool start_array(size_t) override {
    if (depth_ != 2 || in_metadata_ || field_ == "dtype") return unexpected("a list");
    (field_ == "shape" ? entry_->has_shape : entry_->has_offsets) = true;
    ++depth_;
    return true;
  }

  bool end_array() override {
    --depth_;
    const size_t count = entry_->offsets.size();
    GW_CHECK(field_ == "shape" || count == 2,
             "safetensors \"{}\": expected two data_offsets of tensor \"{}\", got {}", file_,
             shown_name(tensor_), count);
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (depth_ != 3) return unexpected("a number");
    auto& list = field_ == "shape" ? entry_->shape : entry_->offsets;
    GW_CHECK(list.size() < kMaxDims,
             "safetensors \"{}\": expected at most {} numbers in \"{}\" of tensor \"{}\", got more", file_,
             kMaxDims, field_, shown_name(tensor_));
    list.push_back(value);
    return true;
  }

  bool number_integer(number_integer_t value) override { return unexpected(fmt::format("{}", value)); }
  bool number_float(number_float_t, const string_t& text) override { return unexpected(shown_name(text)); }
  bool null() override { return unexpected("null"); }
  bool boolean(bool value) override { return unexpected(value ? "true" : "false"); }
  bool binary(binary_t&) override { return unexpected("binary data"); }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fail(
        "safetensors \"{}\": expected a header in JSON, got an error at its byte {}; the file is damaged or "
        "of another format",
        file_, position);
  }

 private:
  void start_field(const std::string& field) {
    const bool known = field == "dtype" || field == "shape" || field == "data_offsets";
    GW_CHECK(known, "safetensors \"{}\": unknown field \"{}\" of tensor \"{}\"{}", file_, shown_name(field),
             shown_name(tensor_), near_miss(field, {"dtype", "shape", "data_offsets"}));
    const bool twice = field == "dtype"   ? entry_->dtype != nullptr
                       : field == "shape" ? entry_->has_shape
                                          : entry_->has_offsets;
    GW_CHECK(!twice, "safetensors \"{}\": expected \"{}\" of tensor \"{}\" once, got it twice", file_, field,
             shown_name(tensor_));
  }

  [[noreturn]] bool unexpected(const std::string& got) const {
    const char* expected = depth_ == 0   ? "an object"
                           : depth_ == 1 ? "an object with dtype, shape and data_offsets"
                                         : "text";
    if (depth_ == 3 || (depth_ == 2 && !in_metadata_ && field_ != "dtype"))
      expected = "a list of whole numbers from 0 to 2^64 - 1";
    const std::string field = depth_ > 1 ? fmt::format(" / \"{}\"", shown_name(field_)) : "";
    fail("safetensors \"{}\": expected {} at \"{}\"{}, got {}", file_, expected, shown_name(tensor_), field,
         got);
  }

  const std::string& file_;
  std::string tensor_, field_;
  Entry* entry_ = nullptr;
  int depth_ = 0;  ///< 1 in the header, 2 in a tensor or in the metadata, 3 in a list
  bool in_metadata_ = false, seen_metadata_ = false;
};

/// Splits the file into header and content. The format wants an object at the very first byte.
std::string_view header_text(std::string_view bytes, const std::string& name) {
  GW_CHECK(bytes.size() >= 8,
           "safetensors \"{}\": expected at least 8 bytes, got {}; the file is empty or cut short", name,
           bytes.size());
  const auto kind = foreign_kind(bytes);
  GW_CHECK(kind.empty() || (bytes.size() > 8 && bytes[8] == '{'),
           "safetensors \"{}\": expected a safetensors file, got {}", name, kind);
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  GW_CHECK(length <= kMaxHeaderBytes,
           "safetensors \"{}\": expected a header of at most {} bytes, got {}; the file is damaged or of "
           "another format",
           name, kMaxHeaderBytes, length);
  GW_CHECK(length <= bytes.size() - 8,
           "safetensors \"{}\": expected a header of {} bytes, got {}; the file is cut short", name, length,
           bytes.size() - 8);
  const std::string_view text = bytes.substr(8, length);
  GW_CHECK(!text.empty() && text.front() == '{',
           "safetensors \"{}\": expected a header that starts with {{, got \"{}\"", name,
           shown_name(text.substr(0, 8)));
  return text;
}

/// Checks one entry against itself; afterwards offsets[1] - offsets[0] is its size and every size of its
/// shape fits int64.
void check_entry(const std::string& file, const std::string& tensor, const Entry& entry,
                 uint64_t content_bytes) {
  const uint64_t begin = entry.offsets[0], end = entry.offsets[1];
  GW_CHECK(
      begin <= end && end <= content_bytes,
      "safetensors \"{}\": expected data_offsets of tensor \"{}\" in order and within {} bytes, got [{}, {}]",
      file, shown_name(tensor), content_bytes, begin, end);
  uint64_t bytes = entry.dtype->bytes;
  bool empty = false;
  for (const uint64_t size : entry.shape) {
    empty = empty || size == 0;
    if (size == 0) continue;  // the strides of an empty tensor are products of its other sizes
    GW_CHECK(bytes <= static_cast<uint64_t>(INT64_MAX) / size,
             "safetensors \"{}\": expected a shape of tensor \"{}\" below 2^63 bytes, got [{}]", file,
             shown_name(tensor), fmt::join(entry.shape, ", "));
    bytes *= size;
  }
  if (empty) bytes = 0;
  GW_CHECK(bytes == end - begin,
           "safetensors \"{}\": expected {} bytes for tensor \"{}\" ({}, shape [{}]), got {}", file, bytes,
           shown_name(tensor), entry.dtype->name, fmt::join(entry.shape, ", "), end - begin);
}

/// Tensors must cover the content: no overlap, no hole, no rest. Anything else could hide a second file in
/// the first.
void check_cover(const std::string& file, const Header& header, uint64_t content_bytes) {
  std::vector<const std::pair<const std::string, Entry>*> order;
  for (const auto& item : header.tensors) {
    check_entry(file, item.first, item.second, content_bytes);
    order.push_back(&item);
  }
  std::sort(order.begin(), order.end(),
            [](const auto* a, const auto* b) { return a->second.offsets < b->second.offsets; });
  uint64_t covered = 0;
  for (const auto* item : order) {
    const uint64_t begin = item->second.offsets[0];
    GW_CHECK(begin == covered,
             "safetensors \"{}\": expected tensor \"{}\" to start at byte {}, got {}; the file has {}", file,
             shown_name(item->first), covered, begin, begin < covered ? "an overlap" : "a hole");
    covered = item->second.offsets[1];
  }
  GW_CHECK(covered == content_bytes,
           "safetensors \"{}\": expected {} bytes of content, got {}; bytes are left over", file, covered,
           content_bytes);
}

at::Tensor tensor_of(const std::string& file, const std::string& name, const Entry& entry,
                     std::string_view content) {
  const std::string_view bytes = content.substr(entry.offsets[0], entry.offsets[1] - entry.offsets[0]);
  if (entry.dtype->type == at::kBool) {  // any other byte in a bool is undefined behaviour
    const auto odd = std::find_if(bytes.begin(), bytes.end(), [](char c) { return c != 0 && c != 1; });
    GW_CHECK(odd == bytes.end(),
             "safetensors \"{}\": expected bytes 0 and 1 in the BOOL tensor \"{}\", got {}", file,
             shown_name(name), odd == bytes.end() ? 0 : static_cast<unsigned char>(*odd));
  }
  at::Tensor tensor =
      at::empty(std::vector<int64_t>(entry.shape.begin(), entry.shape.end()), entry.dtype->type);
  if (!bytes.empty()) std::memcpy(tensor.data_ptr(), bytes.data(), bytes.size());
  return tensor;
}

struct Item {
  std::string name;
  at::Tensor tensor;  ///< contiguous, on the CPU
  size_t dtype = 0;   ///< index into kDtypes
};

Item item_of(const std::string& name, const at::Tensor& tensor) {
  GW_CHECK(name != kMetadata, "safetensors: expected another name than \"{}\", got a tensor of this name",
           kMetadata);
  GW_CHECK(tensor.defined() && tensor.layout() == at::kStrided,
           "safetensors: expected a dense tensor \"{}\", got {}", shown_name(name),
           tensor.defined() ? "a sparse one" : "an undefined one");
  const auto* dtype = std::find_if(std::begin(kDtypes), std::end(kDtypes), [&](const DtypeName& known) {
    return known.type == tensor.scalar_type();
  });
  GW_CHECK(dtype != std::end(kDtypes), "safetensors: expected tensor \"{}\" of dtype {}, got {}",
           shown_name(name), fmt::join(dtype_names(), " "), c10::toString(tensor.scalar_type()));
  return {name, tensor.detach().to(at::kCPU).contiguous(), static_cast<size_t>(dtype - std::begin(kDtypes))};
}

std::string quoted(const std::string& text) {
  try {
    return Json(text).dump();
  } catch (const Json::type_error&) {
    fail("safetensors: expected names and metadata in UTF-8, got \"{}\"", shown_name(text));
  }
}

std::string header_of(const std::vector<Item>& items, const std::map<std::string, std::string>& metadata) {
  std::vector<std::string> parts;
  if (!metadata.empty()) {
    std::vector<std::string> pairs;
    for (const auto& [key, value] : metadata) pairs.push_back(quoted(key) + ":" + quoted(value));
    parts.push_back(fmt::format("\"{}\":{{{}}}", kMetadata, fmt::join(pairs, ",")));
  }
  uint64_t begin = 0;
  for (const auto& item : items) {
    const uint64_t end = begin + item.tensor.nbytes();
    parts.push_back(fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                                quoted(item.name), kDtypes[item.dtype].name,
                                fmt::join(item.tensor.sizes(), ","), begin, end));
    begin = end;
  }
  std::string text = fmt::format("{{{}}}", fmt::join(parts, ","));
  text.append((8 - text.size() % 8) % 8, ' ');
  GW_CHECK(text.size() <= kMaxHeaderBytes,
           "safetensors: expected a header of at most {} bytes, got {}; shorten names or metadata",
           kMaxHeaderBytes, text.size());
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
           shown_name(file.unread.begin()->first), file.unread.begin()->second);
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
      shown_name(name), fmt::join(dtype_names(), " "), skipped == unread.end() ? "" : skipped->second);
  const auto found = tensors.find(name);
  if (found != tensors.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& item : tensors) names.push_back(shown_name(item.first));
  fail("safetensors: no tensor \"{}\"{}", shown_name(name), near_miss(name, names));
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
  const std::string_view text = header_text(bytes, name), content = bytes.substr(8 + text.size());
  HeaderReader reader(name);
  Json::sax_parse(text.begin(), text.end(), &reader);
  check_cover(name, reader.header, content.size());
  SafetensorsFile file;
  file.metadata = std::move(reader.header.metadata);
  for (const auto& [tensor, entry] : reader.header.tensors) {
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
