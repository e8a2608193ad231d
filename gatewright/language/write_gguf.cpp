#include "gatewright/language/write_gguf.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/shown.h"
#include "gatewright/language/checkpoint/gguf_blocks.h"

namespace gw::inline language {
namespace {

constexpr uint64_t kAlignment = 32;
constexpr double kMostHalf = 65504;
enum WrittenKind : uint32_t {
  kAsWhole = 4,
  kAsSigned = 5,
  kAsReal = 6,
  kAsFlag = 7,
  kAsText = 8,
  kAsList = 9
};

class Bytes {
 public:
  template <class T>
  Bytes& number(T value) {
    all.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& text(const std::string& value) {
    number(static_cast<uint64_t>(value.size()));
    all += value;
    return *this;
  }
  std::string all;
};

uint32_t kind_of(const Json& value, const std::string& key) {
  if (value.is_boolean()) return kAsFlag;
  if (value.is_string()) return kAsText;
  if (value.is_array()) return kAsList;
  if (value.is_number_float()) return kAsReal;
  GW_CHECK(value.is_number_integer(),
           "GGUF: expected a number, a text, a flag or a list under \"{}\", got {}", shown(key),
           value.type_name());
  const auto whole = value.get<int64_t>();
  GW_CHECK(whole >= INT32_MIN && whole <= int64_t{UINT32_MAX}, "GGUF: expected 32 bits under \"{}\", got {}",
           shown(key), whole);
  return whole < 0 ? kAsSigned : kAsWhole;
}

void write_value(Bytes& to, const Json& value, uint32_t kind) {
  switch (kind) {
    case kAsFlag:
      to.number(static_cast<uint8_t>(value.get<bool>() ? 1 : 0));
      break;
    case kAsText:
      to.text(value.text());
      break;
    case kAsReal:
      to.number(static_cast<float>(value.get<double>()));
      break;
    case kAsSigned:
      to.number(static_cast<int32_t>(value.get<int64_t>()));
      break;
    default:
      to.number(static_cast<uint32_t>(value.get<int64_t>()));
  }
}

void write_list(Bytes& to, const Json& list, const std::string& key) {
  uint32_t kind = list.empty() ? kAsText : kind_of(list[0], key);
  for (const auto& item :
       list) {  // one kind for all: token types hold whole numbers, scores reals among them
    const auto own = kind_of(item, key);
    if (own == kAsReal || kind == kAsReal)
      kind = kAsReal;
    else if (own == kAsSigned || kind == kAsSigned || own == kAsWhole)
      kind = kAsSigned;
    GW_CHECK(own != kAsList && (own == kAsText) == (kind == kAsText),
             "GGUF: expected values of one kind under \"{}\"", shown(key));
  }
  if (key == "tokenizer.ggml.scores") kind = kAsReal;
  to.number(kind).number(static_cast<uint64_t>(list.size()));
  for (const auto& item : list) write_value(to, item, kind);
}

const GgufType& type_named(const std::string& name) {
  for (const uint32_t code : {0u, 1u, 30u, 8u})
    if (name == gguf_type(code)->name) return *gguf_type(code);
  fail("GGUF: expected the type F32, F16, BF16 or Q8_0, got \"{}\"", shown(name));
}

uint64_t bytes_of_tensor(const GgufOut& tensor) {
  const auto& type = type_named(tensor.type);
  GW_CHECK(!tensor.shape.empty() && tensor.shape.back() % type.values == 0,
           "GGUF: expected rows of \"{}\" in blocks of {}, got others", tensor.name, type.values);
  return static_cast<uint64_t>(c10::multiply_integers(tensor.shape) / type.values * type.bytes);
}

std::string header_of(const Json& metadata, const std::vector<GgufOut>& tensors) {
  Bytes to;
  to.all = "GGUF";
  to.number(uint32_t{3})
      .number(static_cast<uint64_t>(tensors.size()))
      .number(static_cast<uint64_t>(metadata.size()));
  for (const auto& [key, value] : metadata.items()) {
    const auto kind = kind_of(value, key);
    to.text(key).number(kind);
    if (kind == kAsList)
      write_list(to, value, key);
    else
      write_value(to, value, kind);
  }
  uint64_t offset = 0;
  for (const auto& tensor : tensors) {
    to.text(tensor.name).number(static_cast<uint32_t>(tensor.shape.size()));
    for (size_t i = tensor.shape.size(); i-- > 0;) to.number(static_cast<uint64_t>(tensor.shape[i]));
    to.number(type_named(tensor.type).code).number(offset);
    offset += (bytes_of_tensor(tensor) + kAlignment - 1) / kAlignment * kAlignment;
  }
  to.all.resize((to.all.size() + kAlignment - 1) / kAlignment * kAlignment);
  return to.all;
}

at::Tensor coded(const at::Tensor& given, const GgufType& type) {
  const auto values = given.to(at::kFloat).contiguous();
  const int64_t blocks = values.numel() / type.values;
  auto out = at::empty({blocks * type.bytes}, at::kByte);
  const auto* from = values.data_ptr<float>();
  auto* to = out.data_ptr<uint8_t>();
  at::parallel_for(0, blocks, 512, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) q8_0_from(from + i * type.values, to + i * type.bytes);
  });
  return out;
}

at::Tensor in_type(const GgufOut& tensor) {
  const auto values = tensor.values();
  GW_ENSURE(values.sizes() == at::IntArrayRef(tensor.shape), "GGUF: \"{}\" changed its shape", tensor.name);
  if (tensor.type == "Q8_0") return coded(values, type_named(tensor.type));
  if (tensor.type == "BF16") return values.to(at::kBFloat16).contiguous();
  if (tensor.type == "F32") return values.to(at::kFloat).contiguous();
  GW_CHECK(values.numel() == 0 || values.abs().max().to(at::kDouble).item<double>() <= kMostHalf,
           "GGUF: expected values of \"{}\" up to {} for f16, got larger ones; take bf16", tensor.name,
           kMostHalf);
  return values.to(at::kHalf).contiguous();
}

}  // namespace

void write_gguf(const std::string& path, const Json& metadata, const std::vector<GgufOut>& tensors,
                const Tick& tick) {
  const auto header = header_of(metadata, tensors);
  write_atomic(path, [&](FileWriter& file) {
    file.write(header);
    const std::string zeros(kAlignment, '\0');
    for (size_t i = 0; i < tensors.size(); ++i) {
      const auto bytes = in_type(tensors[i]);
      file.write({static_cast<const char*>(bytes.data_ptr()), bytes.nbytes()});
      file.write(std::string_view(zeros).substr(0, (kAlignment - bytes.nbytes() % kAlignment) % kAlignment));
      if (tick) tick(static_cast<int64_t>(i) + 1, static_cast<int64_t>(tensors.size()));
    }
  });
}

}  // namespace gw::inline language
