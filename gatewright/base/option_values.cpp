#include "gatewright/base/option_values.h"

#include <algorithm>

#include "gatewright/base/check.h"

namespace gw::inline base {

bool is_part_name(const std::string& text) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
  return !text.empty() && std::all_of(text.begin(), text.end(), letter);
}

PartChoice::PartChoice(const char* part) : name(part) {
  GW_CHECK(is_part_name(name), "part: expected a name of small letters, digits and _, got \"{}\"",
           name.substr(0, 80));
}

PartChoice::PartChoice(const Json& choice) : PartChoice(part_choice("part", choice)) {}

Json PartChoice::json() const {
  if (empty()) return Json::object();
  Json table = options;
  table["part"] = name;
  return table;
}

std::string PartChoice::text() const {
  if (empty()) return "{}";
  const auto rest = options.dump().substr(1);
  return "{\"part\":" + Json(name).dump() + (options.empty() ? "" : ",") + rest;
}

PartChoice part_choice(const std::string& where, const Json& value) {
  if (value.is_string()) return {value.text(), Json::object()};
  GW_CHECK(value.is_object() && value.contains("part") && value["part"].is_string(),
           "{}: expected a part's name or a table with \"part\", got {}", where,
           dump_json(value).substr(0, 80));
  PartChoice choice{value["part"].text(), value};
  choice.options.erase("part");
  return choice;
}

void OptionTable::read(const std::string& where, const Json& table) {
  GW_CHECK(table.is_object(), "{}: expected a table, got {}", where, dump_json(table).substr(0, 80));
  parse(where, table);
  given_ = table;
}

}  // namespace gw::inline base
