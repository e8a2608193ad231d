#include "gatewright/text/protobuf.h"

#include <cstring>

#include "gatewright/base/check.h"

namespace gw::inline text {
namespace {
enum Wire { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
}

void ProtobufReader::refuse(const char* expected) const {
  fail("{}: expected {}, got something else in field {} before byte {}; is the file cut?", where_, expected,
       field_, at_);
}

uint64_t ProtobufReader::take_varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (at_ >= bytes_.size()) refuse("a number");
    const auto byte = static_cast<unsigned char>(bytes_[at_++]);
    value |= uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
  refuse("a number of at most 64 bits");
}

std::string_view ProtobufReader::take(uint64_t size) {
  if (size > bytes_.size() - at_) refuse("as many bytes as the message says");
  at_ += size;
  return bytes_.substr(at_ - size, size);
}

bool ProtobufReader::next() {
  if (at_ >= bytes_.size()) return false;
  const uint64_t key = take_varint();
  if (key >> 3 == 0 || key >> 3 > (1u << 29)) refuse("a field's number");
  field_ = static_cast<uint32_t>(key >> 3);
  wire_ = static_cast<uint32_t>(key & 7);
  switch (wire_) {
    case kVarint:
      number_ = take_varint();
      break;
    case kFixed64:
      payload_ = take(8);
      break;
    case kBytes:
      payload_ = take(take_varint());
      break;
    case kFixed32:
      payload_ = take(4);
      break;
    default:
      refuse("a kind of value that is in use");
  }
  return true;
}

uint64_t ProtobufReader::varint() const {
  if (wire_ != kVarint) refuse("a number");
  return number_;
}

float ProtobufReader::f32() const {
  if (wire_ != kFixed32) refuse("a real number");
  uint32_t bits = 0;
  for (int i = 0; i < 4; ++i)
    bits |= uint32_t{static_cast<unsigned char>(payload_[static_cast<size_t>(i)])} << 8 * i;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

std::string_view ProtobufReader::bytes() const {
  if (wire_ != kBytes) refuse("bytes");
  return payload_;
}

}  // namespace gw::inline text
