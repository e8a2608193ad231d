#pragma once
// Binary records: little endian whatever the machine, numbers as short as they are, every length checked
// before anything is reserved.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gw::inline base {

/// Bits that `value` takes, 0 for 0: std::bit_width, which the fuzzers' C++17 lacks.
inline int bit_width(uint64_t value) {
  int bits = 0;
  for (; value != 0; value >>= 1) ++bits;
  return bits;
}

/// Appends to `bytes`.
struct ByteWriter {
  std::string bytes;

  void u8(uint8_t value) { bytes.push_back(static_cast<char>(value)); }
  void u32(uint32_t value);
  /// Seven bits a byte, least significant first.
  void varint(uint64_t value);
  /// Length, then the text.
  void text(std::string_view value);
  /// One byte that says how many bits the largest value takes (at least 1), then the values bit by bit, least
  /// significant first.
  /// `values` are at least 0.
  void packed(const std::vector<int64_t>& values);
  void f32(const float* values, size_t count);
  void f64(const double* values, size_t count);
};

/// Takes from the front of `bytes`. Errors: ValueError naming `what` when the bytes end too early or break
/// the rules above.
class ByteReader {
 public:
  ByteReader(std::string_view bytes, const char* what) : bytes_(bytes), what_(what) {}

  uint8_t u8();
  uint32_t u32();
  uint64_t varint();
  /// A varint of at most `most`, named in the error.
  int64_t count(const char* name, uint64_t most);
  std::string text(size_t most);
  /// `count` packed values, each below `below`. Never reserves more than 64 bytes per byte of input.
  std::vector<int64_t> packed(size_t count, int64_t below);
  void f32(float* values, size_t count);
  void f64(double* values, size_t count);
  size_t left() const { return bytes_.size(); }
  /// Errors: ValueError unless everything was read.
  void finish() const;

 private:
  std::string_view take(size_t size);

  std::string_view bytes_;
  const char* what_;
};

}  // namespace gw::inline base
