#pragma once
// Templates and iterators of Json; base/json.h includes it.
#include "gatewright/base/json.h"

namespace gw::inline base {

/// Over the elements of a list or the values of an object, whose key() it tells; over nothing otherwise.
template <bool kConst>
class Json::BasicIterator {
 public:
  using ListAt = std::conditional_t<kConst, List::const_iterator, List::iterator>;
  using ObjectAt = std::conditional_t<kConst, Object::const_iterator, Object::iterator>;
  using value_type = Json;
  using reference = std::conditional_t<kConst, const Json&, Json&>;
  using pointer = std::conditional_t<kConst, const Json*, Json*>;
  using difference_type = std::ptrdiff_t;
  using iterator_category = std::forward_iterator_tag;

  BasicIterator() = default;
  explicit BasicIterator(ListAt at) : at_(at) {}
  explicit BasicIterator(ObjectAt at) : at_(at) {}

  reference operator*() const { return value(); }
  pointer operator->() const { return &value(); }
  BasicIterator& operator++() {
    std::visit([](auto& at) { ++at; }, at_);
    return *this;
  }
  BasicIterator operator++(int) {
    auto before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const BasicIterator& a, const BasicIterator& b) { return a.at_ == b.at_; }

  const std::string& key() const { return std::get<ObjectAt>(at_)->first; }
  reference value() const {
    if (const auto* at = std::get_if<ListAt>(&at_)) return **at;
    return std::get<ObjectAt>(at_)->second;
  }
  bool has_key() const { return std::holds_alternative<ObjectAt>(at_); }

 private:
  std::variant<ListAt, ObjectAt> at_;
};

/// What Json::items gives.
class Json::Items {
 public:
  struct Item {
    std::string name;
    const Json& content;
    const std::string& key() const { return name; }
    const Json& value() const { return content; }
  };
  class Cursor {
   public:
    explicit Cursor(ConstIterator at) : at_(at) {}
    Item operator*() const { return {at_.has_key() ? at_.key() : std::to_string(position_), *at_}; }
    Cursor& operator++() {
      ++at_, ++position_;
      return *this;
    }
    friend bool operator==(const Cursor& a, const Cursor& b) { return a.at_ == b.at_; }

   private:
    ConstIterator at_;
    size_t position_ = 0;
  };

  explicit Items(const Json& json) : json_(json) {}
  Cursor begin() const { return Cursor(json_.begin()); }
  Cursor end() const { return Cursor(json_.end()); }

 private:
  const Json& json_;
};

inline Json::Items Json::items() const { return Items(*this); }

namespace detail {
template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;
}  // namespace detail

template <class T>
T Json::get() const {
  if constexpr (std::is_same_v<T, Json>) {
    return *this;
  } else if constexpr (std::is_same_v<T, bool>) {
    return truth();
  } else if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(real());
  } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
    return static_cast<T>(integer());
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(natural());
  } else if constexpr (std::is_same_v<T, std::string>) {
    return text();
  } else if constexpr (detail::is_vector<T>) {
    if (!is_array()) refuse("a list");
    T values;
    for (const Json& value : *this) values.push_back(value.template get<typename T::value_type>());
    return values;
  } else {
    if (!is_object()) refuse("an object");
    T values;
    for (const auto& [key, value] : items())
      values.emplace(key, value.template get<typename T::mapped_type>());
    return values;
  }
}

}  // namespace gw::inline base
