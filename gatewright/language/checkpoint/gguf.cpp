#include "gatewright/language/checkpoint/gguf.h"

#include <cstring>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"

namespace gw::inline language {
namespace {

constexpr uint64_t kMostDimensions = 4, kMostKeyBytes = 1 << 16;
constexpr uint64_t kMostValues = uint64_t{1} << 40;  // of one tensor
enum Kind : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kText, kList, kU64, kI64, kF64 };

class Reader {
 public:
  Reader(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  template <class T>
  T number(const char* what) {
    need(sizeof(T), what);
    T value;
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }

  std::string text(const char* what, uint64_t most) {
    const auto length = number<uint64_t>(what);
    GW_CHECK(length <= most, "GGUF \"{}\": expected {} of at most {} bytes, got {}", name_, what, most,
             length);
    need(length, what);
    std::string value(bytes_.substr(at_, length));
    at_ += length;
    return value;
  }

  /// `count` things of at least `each` bytes.
  uint64_t count(const char* what, uint64_t each) {
    const auto value = number<uint64_t>(what);
    GW_CHECK(value <= left() / each, "GGUF \"{}\": expected at most {} {}, which the file can hold, got {}",
             name_, left() / each, what, value);
    return value;
  }

  Json value(uint32_t kind, const std::string& key, int depth = 0) {
    switch (kind) {
      case kU8:
        return number<uint8_t>("a value");
      case kI8:
        return number<int8_t>("a value");
      case kU16:
        return number<uint16_t>("a value");
      case kI16:
        return number<int16_t>("a value");
      case kU32:
        return number<uint32_t>("a value");
      case kI32:
        return number<int32_t>("a value");
      case kF32:
        return number<float>("a value");
      case kBool:
        return number<uint8_t>("a value") != 0;
      case kText:
        return text("a text", left());
      case kU64:
        return number<uint64_t>("a value");
      case kI64:
        return number<int64_t>("a value");
      case kF64:
        return number<double>("a value");
      case kList:
        return list(key, depth);
      default:
        fail("GGUF \"{}\": expected a type of values from 0 to 12 under \"{}\", got {}", name_, shown(key),
             kind);
    }
  }

  uint64_t at() const { return at_; }
  uint64_t left() const { return bytes_.size() - at_; }

 private:
  void need(uint64_t bytes, const char* what) const {
    GW_CHECK(bytes <= left(), "GGUF \"{}\": expected {} at byte {}, got the end of the file: it is cut short",
             name_, what, at_);
  }

  Json list(const std::string& key, int depth) {
    GW_CHECK(depth == 0, "GGUF \"{}\": expected no lists of lists, got one under \"{}\"", name_, shown(key));
    const auto kind = number<uint32_t>("a list's type");
    const auto n = count("values of a list", kind == kText ? 8 : 1);
    Json::List values;
    values.reserve(std::min<uint64_t>(n, 1 << 20));
    for (uint64_t i = 0; i < n; ++i) values.push_back(value(kind, key, depth + 1));
    return values;
  }

  std::string_view bytes_;
  const std::string& name_;
  uint64_t at_ = 0;
};

GgufTensor tensor_of(Reader& reader, const std::string& file, const std::string& name) {
  const auto dimensions = reader.number<uint32_t>("a number of dimensions");
  GW_CHECK(dimensions >= 1 && dimensions <= kMostDimensions,
           "GGUF \"{}\": expected 1 to {} dimensions of \"{}\", got {}", file, kMostDimensions, shown(name),
           dimensions);
  GgufTensor tensor;
  uint64_t values = 1;
  for (uint32_t i = 0; i < dimensions; ++i) {
    const auto size = reader.number<uint64_t>("a size");
    GW_CHECK(size > 0 && size <= kMostValues / values,
             "GGUF \"{}\": expected sizes of \"{}\" of at most {} values, got {}", file, shown(name),
             kMostValues, size);
    values *= size;
    tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(size));
  }
  const auto code = reader.number<uint32_t>("a tensor's type");
  tensor.type = gguf_type(code);
  GW_CHECK(tensor.type != nullptr,
           "GGUF \"{}\": expected \"{}\" of a type {}, got type {}; convert the file to one of them", file,
           shown(name), gguf_type_names(), code);
  const auto row = static_cast<uint64_t>(tensor.shape.back()),
             block = static_cast<uint64_t>(tensor.type->values);
  GW_CHECK(row % block == 0, "GGUF \"{}\": expected rows of \"{}\" in blocks of {}, got rows of {}", file,
           shown(name), block, row);
  tensor.offset = reader.number<uint64_t>("an offset");
  tensor.bytes = values / block * static_cast<uint64_t>(tensor.type->bytes);
  return tensor;
}

}  // namespace

GgufHeader parse_gguf(std::string_view bytes, const std::string& name) {
  Reader reader(bytes, name);
  GW_CHECK(bytes.substr(0, 4) == "GGUF",
           "GGUF \"{}\": expected the file to begin with GGUF, got something else", name);
  reader.number<uint32_t>("the magic");
  const auto version = reader.number<uint32_t>("a version");
  GW_CHECK(version == 2 || version == 3, "GGUF \"{}\": expected version 2 or 3, got {}", name, version);
  const auto tensors = reader.count("tensors", 24), keys = reader.count("keys", 12);
  GgufHeader header{Json::object(), {}};
  for (uint64_t i = 0; i < keys; ++i) {
    const auto key = reader.text("a key", kMostKeyBytes);
    GW_CHECK(!header.metadata.contains(key), "GGUF \"{}\": expected every key once, got \"{}\" twice", name,
             shown(key));
    const auto kind = reader.number<uint32_t>("a type");
    header.metadata[key] = reader.value(kind, key);
  }
  for (uint64_t i = 0; i < tensors; ++i) {
    const auto key = reader.text("a tensor's name", kMostKeyBytes);
    GW_CHECK(header.tensors.count(key) == 0, "GGUF \"{}\": expected every tensor once, got \"{}\" twice",
             name, shown(key));
    header.tensors.emplace(key, tensor_of(reader, name, key));
  }
  const auto alignment =
      static_cast<uint64_t>(ModelConfig(header.metadata, name).integer("general.alignment", 32, 1, 1 << 20));
  const uint64_t begin = (reader.at() + alignment - 1) / alignment * alignment;
  for (auto& [key, tensor] : header.tensors) {
    const bool fits = begin <= bytes.size() && tensor.offset <= bytes.size() - begin &&
                      tensor.offset % alignment == 0 && tensor.bytes <= bytes.size() - begin - tensor.offset;
    GW_CHECK(fits,
             "GGUF \"{}\": expected the {} bytes of \"{}\" at a multiple of {} within the file, got offset "
             "{} of {}",
             name, tensor.bytes, shown(key), alignment, tensor.offset,
             bytes.size() - std::min<uint64_t>(begin, bytes.size()));
    tensor.offset += begin;
  }
  return header;
}

}  // namespace gw::inline language
