#include "gatewright/base/bytes.h"

#include <algorithm>
#include <cstring>

#include "gatewright/base/check.h"

namespace gw::inline base {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats are copied as they lie in memory");

// memcpy wants places that exist, even for nothing.
void copy_bytes(std::string_view from, void* to) {
  if (!from.empty()) std::memcpy(to, from.data(), from.size());
}

}  // namespace

void ByteWriter::u32(uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) u8(static_cast<uint8_t>(value >> shift));
}

void ByteWriter::varint(uint64_t value) {
  for (; value >= 0x80; value >>= 7) u8(static_cast<uint8_t>(value | 0x80));
  u8(static_cast<uint8_t>(value));
}

void ByteWriter::text(std::string_view value) {
  varint(value.size());
  bytes += value;
}

void ByteWriter::packed(const std::vector<int64_t>& values) {
  uint64_t all = 1;  // at least one bit, so that the number of values is bounded by the number of bytes
  for (const int64_t value : values) all |= static_cast<uint64_t>(value);
  const int width = bit_width(all);
  GW_ENSURE(width <= 56, "bytes: cannot pack values of {} bits", width);
  u8(static_cast<uint8_t>(width));
  bytes.reserve(bytes.size() + values.size() * static_cast<size_t>(width) / 8 + 1);
  uint64_t pending = 0;
  int bits = 0;
  for (const int64_t value : values) {
    pending |= static_cast<uint64_t>(value) << bits;
    for (bits += width; bits >= 8; bits -= 8, pending >>= 8) bytes.push_back(static_cast<char>(pending));
  }
  if (bits > 0) bytes.push_back(static_cast<char>(pending));
}

void ByteWriter::f32(const float* values, size_t count) {
  bytes.append(reinterpret_cast<const char*>(values), count * sizeof(float));
}

void ByteWriter::f64(const double* values, size_t count) {
  bytes.append(reinterpret_cast<const char*>(values), count * sizeof(double));
}

std::string_view ByteReader::take(size_t size) {
  GW_CHECK(size <= bytes_.size(), "{}: expected {} more bytes, got {}; the file is damaged", what_, size,
           bytes_.size());
  const auto taken = bytes_.substr(0, size);
  bytes_.remove_prefix(size);
  return taken;
}

uint8_t ByteReader::u8() { return static_cast<uint8_t>(take(1)[0]); }

uint32_t ByteReader::u32() {
  uint32_t value = 0;
  for (int shift = 0; shift < 32; shift += 8) value |= static_cast<uint32_t>(u8()) << shift;
  return value;
}

uint64_t ByteReader::varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 63; shift += 7) {
    const uint64_t byte = u8();
    value |= (byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  fail("{}: expected a number below 2^63, got a longer one; the file is damaged", what_);
}

int64_t ByteReader::count(const char* name, uint64_t most) {
  const uint64_t value = varint();
  GW_CHECK(value <= most, "{}: expected {} of at most {}, got {}; the file is damaged", what_, name, most,
           value);
  return static_cast<int64_t>(value);
}

std::string ByteReader::text(size_t most) {
  return std::string(take(static_cast<size_t>(count("a text", most))));
}

std::vector<int64_t> ByteReader::packed(size_t count, int64_t below) {
  const size_t width = u8();
  GW_CHECK(width >= 1 && width <= 56, "{}: expected values of 1 to 56 bits, got {}; the file is damaged",
           what_, width);
  GW_CHECK(count <= left() * 8 / width,
           "{}: expected {} values of {} bits, got {} bytes; the file is damaged", what_, count, width,
           left());
  const auto packed = take((count * width + 7) / 8);
  std::vector<int64_t> values(count);
  uint64_t pending = 0, mask = (uint64_t{1} << width) - 1;
  size_t bits = 0, at = 0;
  for (auto& value : values) {
    for (; bits < width; bits += 8)
      pending |= static_cast<uint64_t>(static_cast<unsigned char>(packed[at++])) << bits;
    value = static_cast<int64_t>(pending & mask);
    GW_CHECK(value < below, "{}: expected values below {}, got {}; the file is damaged", what_, below, value);
    pending >>= width;
    bits -= width;
  }
  return values;
}

void ByteReader::f32(float* values, size_t count) { copy_bytes(take(count * sizeof(float)), values); }

void ByteReader::f64(double* values, size_t count) { copy_bytes(take(count * sizeof(double)), values); }

void ByteReader::finish() const {
  GW_CHECK(bytes_.empty(), "{}: expected the end of the record, got {} more bytes; the file is damaged",
           what_, bytes_.size());
}

}  // namespace gw::inline base
