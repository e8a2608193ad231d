#pragma once
// Values of an untrusted JSON document with their places, for messages that name both.
#include <cstdint>
#include <string>
#include <string_view>

#include "gatewright/base/json.h"

namespace gw::inline text {

/// A part of a document, which must outlive it. Everything that is not as expected is a ValueError
/// "<place>: expected …, got …".
class Field {
 public:
  Field(const Json& json, std::string place) : json_(&json), place_(std::move(place)) {}

  const Json& json() const { return *json_; }
  const std::string& place() const { return place_; }
  /// Present and not null.
  bool has(std::string_view key) const;
  Field at(std::string_view key) const;
  size_t size() const;  ///< of a list
  Field operator[](size_t index) const;

  const std::string& text() const;
  std::string character() const;  ///< text of one code point
  bool flag() const;
  double real() const;
  int64_t integer(int64_t low, int64_t high) const;
  /// The values of keys that may be missing.
  std::string text_or(std::string_view key, const std::string& otherwise) const;
  bool flag_or(std::string_view key, bool otherwise) const;
  int64_t integer_or(std::string_view key, int64_t otherwise, int64_t low, int64_t high) const;
  /// The key "type". Errors: as above.
  const std::string& type() const { return at("type").text(); }
  [[noreturn]] void refuse(const std::string& expected) const;

 private:
  const Json* json_;
  std::string place_;
};

}  // namespace gw::inline text
