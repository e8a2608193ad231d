#pragma once
// Reading the JSON documents of a run directory.
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gatewright/base/check.h"
#include "gatewright/base/json.h"
#include "gatewright/base/json_text.h"
#include "gatewright/base/options.h"

namespace gw::inline runs {

/// A JSON object with the name of its place, so that every error says where.
class DocumentReader {
 public:
  DocumentReader(const Json& value, std::string where) : value_(value), where_(std::move(where)) {
    GW_CHECK(value.is_object(), "report: expected an object at {}, got {}; see gatewright/runs/run_data.h",
             where_, value.type_name());
  }
  bool has(const char* key) const { return value_.contains(key) && !value_.at(key).is_null(); }
  double number(const char* key) const {
    if (!has(key)) return std::numeric_limits<double>::quiet_NaN();
    expect(value_.at(key).is_number(), key, "a number");
    return value_.at(key).get<double>();
  }
  int64_t integer(const char* key, int64_t missing) const {
    if (!has(key)) return missing;
    expect(value_.at(key).is_number_integer(), key, "an integer");
    return value_.at(key).get<int64_t>();
  }
  bool flag(const char* key) const {
    if (!has(key)) return false;
    expect(value_.at(key).is_boolean(), key, "true or false");
    return value_.at(key).get<bool>();
  }
  std::string text(const char* key) const {
    if (!has(key)) return "";
    expect(value_.at(key).is_string(), key, "a text");
    return value_.at(key).get<std::string>();
  }
  /// A text, or a number written as one.
  std::string shown(const char* key) const {
    if (has(key) && value_.at(key).is_number()) return fmt::format("{:.6g}", value_.at(key).get<double>());
    return text(key);
  }
  std::vector<DocumentReader> objects(const char* key) const {
    std::vector<DocumentReader> found;
    if (!has(key)) return found;
    expect(value_.at(key).is_array(), key, "a list");
    for (const Json& element : value_.at(key))
      found.emplace_back(element, fmt::format("{}: {}[{}]", where_, key, found.size()));
    return found;
  }
  std::map<std::string, DocumentReader> children(const char* key) const {
    std::map<std::string, DocumentReader> found;
    if (!has(key)) return found;
    const DocumentReader table(value_.at(key), where_ + ": " + key);
    for (const auto& [name, child] : table.value_.items())
      found.emplace(name, DocumentReader(child, table.where_ + "." + name));
    return found;
  }
  std::map<std::string, double> numbers(const char* key) const {
    std::map<std::string, double> found;
    if (!has(key)) return found;
    const DocumentReader table(value_.at(key), where_ + ": " + key);
    for (const auto& item : table.value_.items()) found[item.key()] = table.number(item.key().c_str());
    return found;
  }
  /// Numbers, with nan for null.
  std::vector<double> list(const char* key) const {
    std::vector<double> found;
    if (!has(key)) return found;
    expect(value_.at(key).is_array(), key, "a list");
    for (const Json& element : value_.at(key)) {
      expect(element.is_number() || element.is_null(), key, "a list of numbers");
      found.push_back(element.is_null() ? std::numeric_limits<double>::quiet_NaN() : element.get<double>());
    }
    return found;
  }
  const Json& raw(const char* key) const { return value_.at(key); }
  const std::string& where() const { return where_; }
  void expect(bool condition, const char* key, const char* what) const {
    GW_CHECK(condition, "report: expected {} at \"{}\" of {}, got {}; see gatewright/runs/run_data.h", what,
             key, where_, dump_json(value_.at(key)).substr(0, 60));
  }

 private:
  const Json& value_;
  std::string where_;
};

}  // namespace gw::inline runs
