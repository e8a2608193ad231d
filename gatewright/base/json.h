#pragma once
// A JSON document as a value: what recipes, options, logs and results are made of.
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "gatewright/base/error.h"

namespace gw::inline base {

/// A document that is not what its reader expected: a missing key, a value of another type, text that is not
/// UTF-8 or no JSON. Readers of files turn it into an error that names the file.
class JsonError : public ValueError {
 public:
  using ValueError::ValueError;
};

/// null, true, a number (integers apart from reals), text, a list or an object whose keys are sorted.
/// A braced list of pairs that begin with text is an object, any other a list: Json{{"k", 2}}, Json{1, 2}.
/// Reading what is not there throws JsonError; writing json["key"] makes it.
class Json {
 public:
  using List = std::vector<Json>;
  using Object = std::map<std::string, Json, std::less<>>;
  template <bool kConst>
  class BasicIterator;
  using Iterator = BasicIterator<false>;
  using ConstIterator = BasicIterator<true>;
  class Items;

  Json() = default;
  Json(const Json&) = default;
  Json(Json&&) noexcept = default;
  ~Json() = default;
  /// By value: what is assigned may be a part of this document.
  Json& operator=(Json other) noexcept {
    value_.swap(other.value_);
    return *this;
  }
  Json(std::nullptr_t) {}
  template <class T>
  requires std::is_arithmetic_v<T> Json(T value) {
    if constexpr (std::is_same_v<T, bool>)
      value_ = value;
    else if constexpr (std::is_floating_point_v<T>)
      value_ = static_cast<double>(value);
    else if constexpr (std::is_signed_v<T>)
      value_ = static_cast<int64_t>(value);
    else
      value_ = static_cast<uint64_t>(value);
  }
  template <class T>
  requires std::is_convertible_v<T, std::string_view> Json(const T& text)
      : value_(std::string(std::string_view(text))) {}
  Json(std::string text) : value_(std::move(text)) {}
  Json(List list) : value_(std::move(list)) {}
  Json(Object object) : value_(std::move(object)) {}
  template <class T>
  requires(!std::is_same_v<T, Json>) Json(const std::vector<T>& list)
      : value_(List(list.begin(), list.end())) {}
  template <class T>
  requires(!std::is_same_v<T, Json>) Json(const std::map<std::string, T>& object)
      : value_(Object(object.begin(), object.end())) {}
  Json(std::initializer_list<Json> values);

  static Json object(std::initializer_list<std::pair<const std::string, Json>> pairs = {}) {
    return Object(pairs.begin(), pairs.end());
  }
  static Json array(std::initializer_list<Json> values = {}) { return List(values); }
  /// Errors: JsonError with the byte at which `text` stops to be JSON, or beyond 64 levels.
  static Json parse(std::string_view text);
  /// Nothing where parse throws.
  static std::optional<Json> parsed(std::string_view text);

  bool is_null() const { return holds<std::monostate>(); }
  bool is_boolean() const { return holds<bool>(); }
  bool is_number_integer() const { return holds<int64_t>() || holds<uint64_t>(); }
  bool is_number_unsigned() const { return holds<uint64_t>(); }
  bool is_number_float() const { return holds<double>(); }
  bool is_number() const { return is_number_integer() || is_number_float(); }
  bool is_string() const { return holds<std::string>(); }
  bool is_array() const { return holds<List>(); }
  bool is_object() const { return holds<Object>(); }
  bool is_structured() const { return is_array() || is_object(); }
  const char* type_name() const;  ///< null, boolean, number, string, array or object

  /// The value as a number, text, a vector or a map of texts of these. Numbers convert among each other.
  template <class T>
  T get() const;
  const std::string& text() const;
  /// A number, text or a truth value where one is asked for: const double x = json["x"].
  template <class T>
  requires(std::is_arithmetic_v<T> && !std::is_same_v<T, char>) || std::is_same_v<T, std::string> operator T()
                                                                       const {
    return get<T>();
  }

  size_t size() const;  ///< of a list or an object; 0 of null, 1 of others
  bool empty() const { return size() == 0; }
  bool contains(std::string_view key) const;
  size_t count(std::string_view key) const { return contains(key) ? 1 : 0; }

  const Json& at(std::string_view key) const;
  Json& at(std::string_view key) { return const_cast<Json&>(std::as_const(*this).at(key)); }
  template <std::integral I>
  const Json& at(I index) const {
    return element(static_cast<size_t>(index));
  }
  template <std::integral I>
  Json& at(I index) {
    return const_cast<Json&>(element(static_cast<size_t>(index)));
  }
  Json& operator[](std::string_view key);  ///< null becomes an object, a missing key null
  const Json& operator[](std::string_view key) const { return at(key); }
  Json& operator[](const char* key) { return (*this)[std::string_view(key)]; }
  const Json& operator[](const char* key) const { return at(std::string_view(key)); }
  template <std::integral I>
  Json& operator[](I index) {
    return at(index);
  }
  template <std::integral I>
  const Json& operator[](I index) const {
    return at(index);
  }
  Json& front() { return at(0); }
  const Json& front() const { return at(0); }
  Json& back() { return at(size() - 1); }
  const Json& back() const { return at(size() - 1); }

  /// The value of `key`, or `otherwise` if this object has none. Errors: JsonError if it is of another type.
  template <class T>
  T value(std::string_view key, const T& otherwise) const {
    return contains(key) ? at(key).template get<T>() : otherwise;
  }
  std::string value(std::string_view key, const char* otherwise) const {
    return value(key, std::string(otherwise));
  }

  void push_back(Json value);  ///< null becomes a list
  template <class... Args>
  void emplace_back(Args&&... args) {
    push_back(Json(std::forward<Args>(args)...));
  }
  void erase(std::string_view key);
  void update(const Json& other);  ///< other's keys replace those of this object

  Iterator begin();
  Iterator end();
  ConstIterator begin() const;
  ConstIterator end() const;
  Iterator find(std::string_view key);
  ConstIterator find(std::string_view key) const;
  /// For loops over keys (of a list: the positions) and values: for (const auto& [key, value] :
  /// json.items()).
  Items items() const;

  /// JSON text; keys sorted, reals in the shortest form that is read back equal, `indent` < 0: on one line.
  /// Errors: JsonError for text that is not UTF-8.
  std::string dump(int indent = -1) const;

  friend bool operator==(const Json& a, const Json& b);  ///< 1 == 1.0
  template <class T>
  requires std::is_arithmetic_v<T> || std::is_convertible_v<T, std::string_view>
  friend bool operator==(const Json& a, const T& b) { return a == Json(b); }

  using Value = std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string, List, Object>;
  const Value& held() const { return value_; }

 private:
  template <class T>
  bool holds() const {
    return std::holds_alternative<T>(value_);
  }
  const Json& element(size_t index) const;
  double real() const;
  int64_t integer() const;
  uint64_t natural() const;
  bool truth() const;
  [[noreturn]] void refuse(const char* expected) const;

  Value value_;
};

/// JSON text with null for numbers that are not finite and U+FFFD for bytes that are not UTF-8.
std::string dump_json(const Json& value, int indent = -1);

std::ostream& operator<<(std::ostream& out, const Json& value);  ///< as dump_json

}  // namespace gw::inline base

#include "gatewright/base/json_access.h"
