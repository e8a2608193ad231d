#include "gatewright/text/template/json_values.h"

#include <nlohmann/json.hpp>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"

namespace gw::inline text::jinja {
namespace {

Value checked(Meter& meter, const std::string& text) {
  GW_CHECK(invalid_utf8(text) == std::string::npos,
           "expected variables in UTF-8, got bytes that are none in \"{}\"", shown(text, 60));
  meter.text(text.size());
  return Value(text);
}

Value checked(uint64_t number) {
  GW_CHECK(number <= static_cast<uint64_t>(INT64_MAX),
           "expected whole numbers of 64 bits with a sign, got {}", number);
  return Value(static_cast<int64_t>(number));
}

/// Builds values from the parser's events: the depth shows while it is read.
class Reader {
 public:
  using Library = nlohmann::json;
  explicit Reader(Meter& meter) : meter_(meter) {}
  Value root;

  bool null() { return add(Value::None()); }
  bool boolean(bool value) { return add(Value(value)); }
  bool number_integer(Library::number_integer_t value) { return add(Value(int64_t{value})); }
  bool number_unsigned(Library::number_unsigned_t value) { return add(checked(uint64_t{value})); }
  bool number_float(Library::number_float_t value, const std::string&) { return add(Value(value)); }
  bool string(std::string& value) { return add(checked(meter_, value)); }
  bool binary(Library::binary_t&) { return false; }  // JSON text has none
  bool start_object(size_t) { return open(true); }
  bool start_array(size_t) { return open(false); }
  bool key(std::string& key) {
    open_.back().key = std::move(key);
    return true;
  }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) {
    fail("expected variables in JSON, got none at byte {}", position);
  }

 private:
  struct Open {
    bool object = false;
    std::string key;
    Values elements;
    Dict dict;
  };
  bool add(Value value) {
    meter_.step();
    if (open_.empty())
      root = std::move(value);
    else if (open_.back().object)
      put(meter_, open_.back().dict, Value(open_.back().key), std::move(value));
    else
      open_.back().elements.push_back(std::move(value));
    return true;
  }
  bool open(bool object) {
    GW_CHECK(static_cast<int>(open_.size()) < kValueLimit,
             "expected variables nested at most {} deep, got more", kValueLimit);
    open_.push_back({object, {}, {}, {}});
    return true;
  }
  bool close() {
    Open last = std::move(open_.back());
    open_.pop_back();
    return add(last.object ? finished(std::move(last.dict))
                           : make_sequence(meter_, std::move(last.elements)));
  }

  Meter& meter_;
  std::vector<Open> open_;
};

}  // namespace

Value value_of(Meter& meter, const Json& json) {
  const Meter::Level level(meter);
  meter.step();
  return std::visit(
      [&](const auto& held) -> Value {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<T, std::monostate>) {
          return Value::None();
        } else if constexpr (std::is_same_v<T, std::string>) {
          return checked(meter, held);
        } else if constexpr (std::is_same_v<T, uint64_t>) {
          return checked(held);
        } else if constexpr (std::is_same_v<T, Json::List>) {
          Values elements;
          for (const Json& one : held) elements.push_back(value_of(meter, one));
          return make_sequence(meter, std::move(elements));
        } else if constexpr (std::is_same_v<T, Json::Object>) {
          Dict dict;
          for (const auto& [key, one] : held) put(meter, dict, checked(meter, key), value_of(meter, one));
          return finished(std::move(dict));
        } else {
          return Value(held);
        }
      },
      json.held());
}

Value value_of_text(Meter& meter, std::string_view json) {
  Reader reader(meter);
  Reader::Library::sax_parse(json.begin(), json.end(), &reader);
  return std::move(reader.root);
}

}  // namespace gw::inline text::jinja
