#include "gatewright/models/safetensors_header.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "gatewright/base/check.h"
#include "gatewright/base/file_kind.h"
#include "gatewright/base/options.h"
#include "gatewright/base/shown.h"

namespace gw::inline models {
namespace {

constexpr size_t kMaxDims = 64;

/// Of the format, but not of libtorch 1.13.
constexpr SafetensorsDtype kUnreadDtypes[] = {
    {at::ScalarType::Undefined, "U64", 8},     {at::ScalarType::Undefined, "U32", 4},
    {at::ScalarType::Undefined, "U16", 2},     {at::ScalarType::Undefined, "F8_E4M3", 1},
    {at::ScalarType::Undefined, "F8_E5M2", 1}, {at::ScalarType::Undefined, "F8_E8M0", 1}};

const SafetensorsDtype* find_dtype(const std::string& name) {
  for (const auto& dtype : kSafetensorsDtypes)
    if (name == dtype.name) return &dtype;
  for (const auto& dtype : kUnreadDtypes)
    if (name == dtype.name) return &dtype;
  return nullptr;
}

/// Receives the header's JSON piece by piece: duplicate keys show, and nesting deeper than the format's three
/// levels stops at once.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(const std::string& file) : file_(file) {}
  SafetensorsHeader header;

  bool start_object(size_t) override {
    if (depth_ > 1) return unexpected("an object");
    in_metadata_ = depth_ == 1 && tensor_ == kSafetensorsMetadata;
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
             missing, shown_safetensors_name(tensor_));
    return true;
  }

  bool key(std::string& key) override {
    if (depth_ == 1) {
      const bool twice = header.tensors.count(key) > 0 || (key == kSafetensorsMetadata && seen_metadata_);
      GW_CHECK(!twice, "safetensors \"{}\": expected every name once, got \"{}\" twice", file_,
               shown_safetensors_name(key));
      seen_metadata_ = seen_metadata_ || key == kSafetensorsMetadata;
      tensor_ = key;
    } else if (in_metadata_) {
      GW_CHECK(header.metadata.count(key) == 0,
               "safetensors \"{}\": expected every key of the metadata once, got \"{}\" twice", file_,
               shown_safetensors_name(key));
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
             shown_safetensors_name(text), shown_safetensors_name(tensor_),
             near_miss(text, safetensors_dtype_names()));
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
             shown_safetensors_name(tensor_), count);
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (depth_ != 3) return unexpected("a number");
    auto& list = field_ == "shape" ? entry_->shape : entry_->offsets;
    GW_CHECK(list.size() < kMaxDims,
             "safetensors \"{}\": expected at most {} numbers in \"{}\" of tensor \"{}\", got more", file_,
             kMaxDims, field_, shown_safetensors_name(tensor_));
    list.push_back(value);
    return true;
  }

  bool number_integer(number_integer_t value) override { return unexpected(fmt::format("{}", value)); }
  bool number_float(number_float_t, const string_t& text) override {
    return unexpected(shown_safetensors_name(text));
  }
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
    GW_CHECK(known, "safetensors \"{}\": unknown field \"{}\" of tensor \"{}\"{}", file_,
             shown_safetensors_name(field), shown_safetensors_name(tensor_),
             near_miss(field, {"dtype", "shape", "data_offsets"}));
    const bool twice = field == "dtype"   ? entry_->dtype != nullptr
                       : field == "shape" ? entry_->has_shape
                                          : entry_->has_offsets;
    GW_CHECK(!twice, "safetensors \"{}\": expected \"{}\" of tensor \"{}\" once, got it twice", file_, field,
             shown_safetensors_name(tensor_));
  }

  [[noreturn]] bool unexpected(const std::string& got) const {
    const char* expected = depth_ == 0   ? "an object"
                           : depth_ == 1 ? "an object with dtype, shape and data_offsets"
                                         : "text";
    if (depth_ == 3 || (depth_ == 2 && !in_metadata_ && field_ != "dtype"))
      expected = "a list of whole numbers from 0 to 2^64 - 1";
    const std::string field = depth_ > 1 ? fmt::format(" / \"{}\"", shown_safetensors_name(field_)) : "";
    fail("safetensors \"{}\": expected {} at \"{}\"{}, got {}", file_, expected,
         shown_safetensors_name(tensor_), field, got);
  }

  const std::string& file_;
  std::string tensor_, field_;
  SafetensorsEntry* entry_ = nullptr;
  int depth_ = 0;  ///< 1 in the header, 2 in a tensor or in the metadata, 3 in a list
  bool in_metadata_ = false, seen_metadata_ = false;
};

/// Checks one entry against itself; afterwards offsets[1] - offsets[0] is its size and every size of its
/// shape fits int64.
void check_entry(const std::string& file, const std::string& tensor, const SafetensorsEntry& entry,
                 uint64_t content_bytes) {
  const uint64_t begin = entry.offsets[0], end = entry.offsets[1];
  GW_CHECK(
      begin <= end && end <= content_bytes,
      "safetensors \"{}\": expected data_offsets of tensor \"{}\" in order and within {} bytes, got [{}, {}]",
      file, shown_safetensors_name(tensor), content_bytes, begin, end);
  uint64_t bytes = entry.dtype->bytes;
  bool empty = false;
  for (const uint64_t size : entry.shape) {
    empty = empty || size == 0;
    if (size == 0) continue;  // the strides of an empty tensor are products of its other sizes
    GW_CHECK(bytes <= static_cast<uint64_t>(INT64_MAX) / size,
             "safetensors \"{}\": expected a shape of tensor \"{}\" below 2^63 bytes, got [{}]", file,
             shown_safetensors_name(tensor), fmt::join(entry.shape, ", "));
    bytes *= size;
  }
  if (empty) bytes = 0;
  GW_CHECK(bytes == end - begin,
           "safetensors \"{}\": expected {} bytes for tensor \"{}\" ({}, shape [{}]), got {}", file, bytes,
           shown_safetensors_name(tensor), entry.dtype->name, fmt::join(entry.shape, ", "), end - begin);
}

/// Tensors must cover the content: no overlap, no hole, no rest. Anything else could hide a second file in
/// the first.
void check_cover(const std::string& file, const SafetensorsHeader& header, uint64_t content_bytes) {
  std::vector<const std::pair<const std::string, SafetensorsEntry>*> order;
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
             shown_safetensors_name(item->first), covered, begin, begin < covered ? "an overlap" : "a hole");
    covered = item->second.offsets[1];
  }
  GW_CHECK(covered == content_bytes,
           "safetensors \"{}\": expected {} bytes of content, got {}; bytes are left over", file, covered,
           content_bytes);
}

}  // namespace

std::vector<std::string> safetensors_dtype_names() {
  std::vector<std::string> names;
  for (const auto& dtype : kSafetensorsDtypes) names.emplace_back(dtype.name);
  return names;
}

std::string shown_safetensors_name(std::string_view text) { return shown(text, 60); }

std::string_view safetensors_header_text(std::string_view bytes, const std::string& name) {
  GW_CHECK(bytes.size() >= 8,
           "safetensors \"{}\": expected at least 8 bytes, got {}; the file is empty or cut short", name,
           bytes.size());
  const auto kind = foreign_kind(bytes);
  GW_CHECK(kind.empty() || (bytes.size() > 8 && bytes[8] == '{'),
           "safetensors \"{}\": expected a safetensors file, got {}", name, kind);
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  GW_CHECK(length <= kSafetensorsHeaderBytes,
           "safetensors \"{}\": expected a header of at most {} bytes, got {}; the file is damaged or of "
           "another format",
           name, kSafetensorsHeaderBytes, length);
  GW_CHECK(length <= bytes.size() - 8,
           "safetensors \"{}\": expected a header of {} bytes, got {}; the file is cut short", name, length,
           bytes.size() - 8);
  const std::string_view text = bytes.substr(8, length);
  GW_CHECK(!text.empty() && text.front() == '{',
           "safetensors \"{}\": expected a header that starts with {{, got \"{}\"", name,
           shown_safetensors_name(text.substr(0, 8)));
  return text;
}

SafetensorsHeader parse_safetensors_header(std::string_view text, uint64_t content_bytes,
                                           const std::string& name) {
  HeaderReader reader(name);
  nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
  check_cover(name, reader.header, content_bytes);
  return std::move(reader.header);
}

}  // namespace gw::inline models
