#include "gatewright/base/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "gatewright/base/json_text.h"

namespace gw::inline base {
namespace {

using Library = nlohmann::json;

Library to_library(const Json& json) {
  return std::visit(
      [](const auto& value) -> Library {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::monostate>) {
          return nullptr;
        } else if constexpr (std::is_same_v<T, Json::List>) {
          Library list = Library::array();
          for (const Json& element : value) list.push_back(to_library(element));
          return list;
        } else if constexpr (std::is_same_v<T, Json::Object>) {
          Library object = Library::object();
          for (const auto& [key, element] : value) object.emplace(key, to_library(element));
          return object;
        } else {
          return value;
        }
      },
      json.held());
}

std::string written(const Json& json, int indent, Library::error_handler_t broken_text) {
  return to_library(json).dump(indent, ' ', false, broken_text);
}

}  // namespace

Json::Json(std::initializer_list<Json> values) {
  const bool pairs = std::all_of(values.begin(), values.end(), [](const Json& one) {
    return one.is_array() && one.size() == 2 && one.at(0).is_string();
  });
  if (!pairs) {
    value_ = List(values);
    return;
  }
  Object object;
  for (const Json& pair : values) object.emplace(pair.at(0).text(), pair.at(1));
  value_ = std::move(object);
}

Json Json::parse(std::string_view text) {
  try {
    return parse_json(text, "text");
  } catch (const ValueError& error) {
    throw JsonError(error.what());
  }
}

std::optional<Json> Json::parsed(std::string_view text) {
  try {
    return parse(text);
  } catch (const JsonError&) {
    return std::nullopt;
  }
}

const char* Json::type_name() const {
  static constexpr const char* kNames[] = {"null",   "boolean", "number", "number",
                                           "number", "string",  "array",  "object"};
  return kNames[value_.index()];
}

void Json::refuse(const char* expected) const {
  const std::string got = dump_json(*this);
  throw JsonError(std::string("expected ") + expected + ", got " + type_name() + " " + got.substr(0, 60));
}

double Json::real() const {
  if (const auto* value = std::get_if<double>(&value_)) return *value;
  if (const auto* value = std::get_if<int64_t>(&value_)) return static_cast<double>(*value);
  if (const auto* value = std::get_if<uint64_t>(&value_)) return static_cast<double>(*value);
  refuse("a number");
}

int64_t Json::integer() const {
  if (const auto* value = std::get_if<double>(&value_)) return static_cast<int64_t>(*value);
  if (const auto* value = std::get_if<uint64_t>(&value_)) return static_cast<int64_t>(*value);
  if (const auto* value = std::get_if<int64_t>(&value_)) return *value;
  refuse("a number");
}

uint64_t Json::natural() const {
  if (const auto* value = std::get_if<uint64_t>(&value_)) return *value;
  return static_cast<uint64_t>(integer());
}

bool Json::truth() const {
  if (const auto* value = std::get_if<bool>(&value_)) return *value;
  refuse("true or false");
}

const std::string& Json::text() const {
  if (const auto* value = std::get_if<std::string>(&value_)) return *value;
  refuse("text");
}

size_t Json::size() const {
  if (const auto* list = std::get_if<List>(&value_)) return list->size();
  if (const auto* object = std::get_if<Object>(&value_)) return object->size();
  return is_null() ? 0 : 1;
}

bool Json::contains(std::string_view key) const {
  const auto* object = std::get_if<Object>(&value_);
  return object != nullptr && object->find(key) != object->end();
}

const Json& Json::at(std::string_view key) const {
  const auto* object = std::get_if<Object>(&value_);
  if (object == nullptr) refuse("an object");
  const auto found = object->find(key);
  if (found == object->end()) throw JsonError("expected the key \"" + std::string(key) + "\", got none");
  return found->second;
}

const Json& Json::element(size_t index) const {
  const auto* list = std::get_if<List>(&value_);
  if (list == nullptr) refuse("a list");
  if (index >= list->size())
    throw JsonError("expected a list of more than " + std::to_string(index) + ", got " +
                    std::to_string(list->size()) + " elements");
  return (*list)[index];
}

Json& Json::operator[](std::string_view key) {
  if (is_null()) value_ = Object();
  auto* object = std::get_if<Object>(&value_);
  if (object == nullptr) refuse("an object");
  const auto found = object->find(key);
  return found != object->end() ? found->second : (*object)[std::string(key)];
}

void Json::push_back(Json value) {
  if (is_null()) value_ = List();
  auto* list = std::get_if<List>(&value_);
  if (list == nullptr) refuse("a list");
  list->push_back(std::move(value));
}

void Json::erase(std::string_view key) {
  auto* object = std::get_if<Object>(&value_);
  if (object == nullptr) refuse("an object");
  const auto found = object->find(key);
  if (found != object->end()) object->erase(found);
}

void Json::update(const Json& other) {
  for (const auto& [key, value] : other.items()) (*this)[key] = value;
}

Json::Iterator Json::begin() {
  if (auto* list = std::get_if<List>(&value_)) return Iterator(list->begin());
  if (auto* object = std::get_if<Object>(&value_)) return Iterator(object->begin());
  return {};
}

Json::Iterator Json::end() {
  if (auto* list = std::get_if<List>(&value_)) return Iterator(list->end());
  if (auto* object = std::get_if<Object>(&value_)) return Iterator(object->end());
  return {};
}

Json::ConstIterator Json::begin() const {
  if (const auto* list = std::get_if<List>(&value_)) return ConstIterator(list->begin());
  if (const auto* object = std::get_if<Object>(&value_)) return ConstIterator(object->begin());
  return {};
}

Json::ConstIterator Json::end() const {
  if (const auto* list = std::get_if<List>(&value_)) return ConstIterator(list->end());
  if (const auto* object = std::get_if<Object>(&value_)) return ConstIterator(object->end());
  return {};
}

Json::Iterator Json::find(std::string_view key) {
  auto* object = std::get_if<Object>(&value_);
  return object == nullptr ? end() : Iterator(object->find(key));
}

Json::ConstIterator Json::find(std::string_view key) const {
  const auto* object = std::get_if<Object>(&value_);
  return object == nullptr ? end() : ConstIterator(object->find(key));
}

std::string Json::dump(int indent) const {
  try {
    return written(*this, indent, Library::error_handler_t::strict);
  } catch (const Library::type_error&) {
    throw JsonError("expected text in UTF-8, got bytes that are none");
  }
}

std::string dump_json(const Json& value, int indent) {
  return written(value, indent, Library::error_handler_t::replace);
}

std::ostream& operator<<(std::ostream& out, const Json& value) { return out << dump_json(value); }

bool operator==(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number() && a.value_.index() != b.value_.index()) {
    if (a.is_number_float() || b.is_number_float()) return a.real() == b.real();
    const Json& with_sign = std::holds_alternative<int64_t>(a.value_) ? a : b;
    return with_sign.integer() >= 0 && a.natural() == b.natural();  // one of them has no sign
  }
  return a.value_ == b.value_;
}

}  // namespace gw::inline base
