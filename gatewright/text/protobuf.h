#pragma once
// The wire format of protocol buffers, read field by field.
#include <cstdint>
#include <string>
#include <string_view>

namespace gw::inline text {

/// Goes over the fields of one message. Values that nobody asks for are passed over.
class ProtobufReader {
 public:
  ProtobufReader(std::string_view bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {}

  /// Moves to the next field; false at the end. Errors: ValueError with the byte for what is no message.
  bool next();
  uint32_t field() const { return field_; }
  const std::string& where() const { return where_; }
  /// The value of the field. Errors: ValueError if it is of another kind.
  uint64_t varint() const;
  int32_t int32() const { return static_cast<int32_t>(varint()); }
  float f32() const;
  std::string_view bytes() const;

 private:
  uint64_t take_varint();
  std::string_view take(uint64_t size);
  [[noreturn]] void refuse(const char* expected) const;

  std::string_view bytes_;
  std::string where_;
  size_t at_ = 0;
  uint32_t field_ = 0, wire_ = 0;
  uint64_t number_ = 0;
  std::string_view payload_;
};

}  // namespace gw::inline text
