#include "gatewright/runs/results.h"

#include <filesystem>
#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/base/json_text.h"

namespace gw::inline runs {
namespace {

constexpr const char* kSchema = "see gatewright/runs/run_data.h";

const Json& field(const Json& object, const char* key, const std::string& where) {
  GW_CHECK(object.is_object() && object.contains(key), "results: expected \"{}\" at {}, got none; {}", key,
           where, kSchema);
  return object[key];
}

std::string text(const Json& object, const char* key, const std::string& where) {
  const auto& value = field(object, key, where);
  GW_CHECK(value.is_string(), "results: expected a text at \"{}\" of {}, got {}; {}", key, where,
           value.type_name(), kSchema);
  return value;
}

std::vector<std::string> texts(const Json& object, const char* key, const std::string& where) {
  const auto& list = field(object, key, where);
  GW_CHECK(list.is_array(), "results: expected a list at \"{}\" of {}, got {}; {}", key, where,
           list.type_name(), kSchema);
  std::vector<std::string> found;
  for (const auto& item : list) {
    GW_CHECK(item.is_string(), "results: expected texts at \"{}\" of {}, got {}; {}", key, where,
             item.type_name(), kSchema);
    found.push_back(item);
  }
  return found;
}

/// `count` numbers, nan for null.
std::vector<double> numbers(const Json& list, size_t count, const std::string& where) {
  GW_CHECK(list.is_array() && list.size() == count, "results: expected {} numbers at {}, got {}; {}", count,
           where, list.is_array() ? fmt::format("{}", list.size()) : list.type_name(), kSchema);
  std::vector<double> found;
  for (const auto& item : list) {
    GW_CHECK(item.is_number() || item.is_null(), "results: expected numbers at {}, got {}; {}", where,
             item.type_name(), kSchema);
    found.push_back(item.is_null() ? std::numeric_limits<double>::quiet_NaN() : item.get<double>());
  }
  return found;
}

ValueTable parse_table(const Json& json, const std::string& where) {
  ValueTable table{text(json, "row", where), texts(json, "columns", where), texts(json, "names", where), {}};
  const auto& values = field(json, "values", where);
  GW_CHECK(values.is_array() && values.size() == table.names.size(),
           "results: expected {} rows of values at {}, got {}; {}", table.names.size(), where,
           values.is_array() ? fmt::format("{}", values.size()) : values.type_name(), kSchema);
  for (const auto& row : values) table.values.push_back(numbers(row, table.columns.size(), where));
  return table;
}

}  // namespace

Json to_json(const Results& results) {
  Json curves = Json::object(), tables = Json::object();
  for (const auto& [name, curve] : results.curves)
    curves[name] = {{"axis", curve.axis}, {"x", curve.x}, {"y", curve.y}};
  for (const auto& [name, table] : results.tables)
    tables[name] = {
        {"row", table.row}, {"columns", table.columns}, {"names", table.names}, {"values", table.values}};
  return {{"curves", curves}, {"tables", tables}};
}

Results parse_results(const Json& document, const std::string& where) {
  Results results;
  for (const auto& [name, curve] : field(document, "curves", where).items()) {
    const auto place = where + ": " + name;
    const auto& x = field(curve, "x", place);
    const size_t count = x.is_array() ? x.size() : 0;
    results.curves[name] = {text(curve, "axis", place), numbers(x, count, place),
                            numbers(field(curve, "y", place), count, place)};
  }
  for (const auto& [name, table] : field(document, "tables", where).items())
    results.tables[name] = parse_table(table, where + ": " + name);
  return results;
}

Results read_results(const std::string& directory) {
  const auto path = directory + "/" + kResultsFile;
  return std::filesystem::exists(path) ? parse_results(read_json(path), path) : Results{};
}

}  // namespace gw::inline runs
