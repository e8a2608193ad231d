#include "gatewright/text/field.h"

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/unicode.h"

namespace gw::inline text {

void Field::refuse(const std::string& expected) const {
  // A whole vocabulary is not written out for a message.
  const std::string got = json_->is_structured() ? "" : " " + shown(dump_json(*json_), 60);
  fail("{}: expected {}, got {}{}", place_, expected, json_->type_name(), got);
}

bool Field::has(std::string_view key) const {
  return json_->is_object() && json_->contains(key) && !json_->at(key).is_null();
}

Field Field::at(std::string_view key) const {
  if (!json_->is_object()) refuse("an object");
  GW_CHECK(json_->contains(key), "{}: expected the key \"{}\", got none; is this the right kind of file?",
           place_, key);
  return Field(json_->at(key), place_ + "." + std::string(key));
}

size_t Field::size() const {
  if (!json_->is_array()) refuse("a list");
  return json_->size();
}

Field Field::operator[](size_t index) const {
  if (!json_->is_array()) refuse("a list");
  GW_CHECK(index < json_->size(), "{}: expected at least {} elements, got {}", place_, index + 1,
           json_->size());
  return Field(json_->at(index), fmt::format("{}[{}]", place_, index));
}

const std::string& Field::text() const {
  if (!json_->is_string()) refuse("text");
  return json_->text();
}

std::string Field::character() const {
  if (code_points(text()) != 1) refuse("one character");
  return text();
}

bool Field::flag() const {
  if (!json_->is_boolean()) refuse("true or false");
  return json_->get<bool>();
}

double Field::real() const {
  if (!json_->is_number()) refuse("a number");
  return json_->get<double>();
}

int64_t Field::integer(int64_t low, int64_t high) const {
  const std::string expected = fmt::format("an integer from {} to {}", low, high);
  if (!json_->is_number_integer()) refuse(expected);
  if (json_->is_number_unsigned() && json_->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
    refuse(expected);
  const auto value = json_->get<int64_t>();
  if (value < low || value > high) refuse(expected);
  return value;
}

std::string Field::text_or(std::string_view key, const std::string& otherwise) const {
  return has(key) ? at(key).text() : otherwise;
}

bool Field::flag_or(std::string_view key, bool otherwise) const {
  return has(key) ? at(key).flag() : otherwise;
}

int64_t Field::integer_or(std::string_view key, int64_t otherwise, int64_t low, int64_t high) const {
  return has(key) ? at(key).integer(low, high) : otherwise;
}

}  // namespace gw::inline text
