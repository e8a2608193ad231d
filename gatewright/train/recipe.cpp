#include "gatewright/train/recipe.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/json.h"
#include "gatewright/base/shown.h"
#include "gatewright/train/toml.h"

namespace gw::inline train {
namespace {

constexpr uint64_t kRecipeLimitBytes = 1 << 20;

std::vector<std::string> keys(const Json& table) {
  std::vector<std::string> names;
  for (const auto& item : table.items()) names.push_back(item.key());
  return names;
}

const Json& entry(const Json& table, const std::string& kind, const std::string& name) {
  const auto it = table.find(name);
  GW_CHECK(it != table.end(), "recipe: unknown {} \"{}\"{}", kind, name, near_miss(name, keys(table)));
  return *it;
}

// A named part replaces another part's options wholly; the same part's options are merged key by key.
void merge(Json& base, const Json& over) {
  if (!base.is_object() || !over.is_object()) {
    base = over;
    return;
  }
  const bool other_part = base.contains("part") && over.contains("part") && base["part"] != over["part"];
  if (other_part) base = Json::object();
  for (const auto& item : over.items()) merge(base[item.key()], item.value());
}

Json config_of(const Json& table) { return table.value("config", Json::object()); }

void check_keys(const std::string& where, const Json& table, const std::vector<std::string>& known) {
  GW_CHECK(table.is_object(), "recipe {}: expected a table, got {}", where, table.dump().substr(0, 60));
  for (const auto& key : keys(table)) {
    const bool listed = std::find(known.begin(), known.end(), key) != known.end();
    GW_CHECK(listed, "recipe {}: unknown key \"{}\"{}", where, key, near_miss(key, known));
  }
  const auto config = table.find("config");
  GW_CHECK(config == table.end() || config->is_object(), "recipe {}: expected a table for \"config\", got {}",
           where, config == table.end() ? "" : config->dump().substr(0, 60));
}

// Names become names of files and directories: "../x" would lead out of the place that the user chose, and
// ".x" would hide.
void check_name(const std::string& where, const char* what, const std::string& name) {
  constexpr size_t kLetters =
      64;  // a run directory's name holds three of these, and file systems allow 255 bytes
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  GW_CHECK(!name.empty() && name.size() <= kLetters && name.front() != '.' &&
               std::all_of(name.begin(), name.end(), allowed),
           "{}: expected the name of the {} in at most {} of A-Z a-z 0-9 . _ -, without a dot in front, got "
           "\"{}\"; rename it (a \"title\" is "
           "free)",
           where, what, kLetters, shown(name));
}

void check_origin(const std::string& where, const Json& arm) {
  const auto kind = arm.find("kind"), from = arm.find("from");
  GW_CHECK(kind == arm.end() || kind->is_string(), "recipe {}: expected text for \"kind\", got {}", where,
           kind == arm.end() ? "" : kind->dump());
  const auto text = [](const Json& value) { return value.is_string(); };
  GW_CHECK(
      from == arm.end() || text(*from) || (from->is_array() && std::all_of(from->begin(), from->end(), text)),
      "recipe {}: expected an arm or a list of arms for \"from\", got {}", where,
      from == arm.end() ? "" : from->dump().substr(0, 60));
}

/// Adds `arm` behind everything that it starts from. `path` are the arms that wait for it.
void visit(const Recipe& recipe, const std::string& arm, std::vector<std::string>& path,
           std::vector<std::string>& order) {
  if (std::find(order.begin(), order.end(), arm) != order.end()) return;
  const auto met = std::find(path.begin(), path.end(), arm);
  GW_CHECK(met == path.end(),
           "recipe {}: expected arms that do not start from each other in a circle, got {} from {}",
           recipe.name, fmt::join(met, path.end(), " from "), arm);
  path.push_back(arm);
  for (const auto& source : recipe.sources(arm)) visit(recipe, source, path, order);
  path.pop_back();
  order.push_back(arm);
}

void check_document(const std::string& path, const Json& document) {
  check_keys(path, document, {"name", "title", "paper", "defaults", "sizes", "arms", "marks"});
  for (const char* table : {"sizes", "arms"}) {
    const auto it = document.find(table);
    const bool filled = it != document.end() && it->is_object() && !it->empty();
    GW_CHECK(filled, "recipe {}: expected at least one entry in [{}], got none", path, table);
  }
  for (const char* text : {"name", "title"}) {
    const auto it = document.find(text);
    GW_CHECK(it == document.end() || it->is_string(), "recipe {}: expected text for \"{}\", got {}", path,
             text, it == document.end() ? "" : it->dump());
  }
  GW_CHECK(document.value("defaults", Json::object()).is_object(),
           "recipe {}: expected a table [defaults], got something else", path);
  for (const auto& [name, size] : document["sizes"].items()) {
    check_name("recipe " + path, "size", name);
    check_keys(path + " sizes." + name, size, {"title", "seeds", "arms", "config"});
  }
  for (const auto& [name, arm] : document["arms"].items()) {
    check_name("recipe " + path, "arm", name);
    const auto where = path + " arms." + name;
    check_keys(where, arm, {"title", "kind", "from", "sizes", "config"});
    check_origin(where, arm);
    const auto sizes = arm.value("sizes", Json::object());
    GW_CHECK(sizes.is_object(), "recipe {}: expected a table for \"sizes\", got {}", where,
             sizes.dump().substr(0, 60));
    for (const auto& [size, table] : sizes.items()) {
      entry(document["sizes"], "size", size);
      check_keys(where + ".sizes." + size, table, {"config"});
    }
  }
}

// JSON, a table or list as recipes write them, or text.
Json override_value(const std::string& text) {
  if (const auto value = Json::parsed(text)) return *value;
  const bool table = !text.empty() && (text[0] == '{' || text[0] == '[');
  return table ? parse_toml("value = " + text, "override").at("value") : Json(text);
}

// "objective.beta=1" → {"objective": {"beta": 1}}.
Json override_table(const std::string& text) {
  const auto equals = text.find('=');
  GW_CHECK(equals != std::string::npos && equals > 0, "override: expected key=value, got \"{}\"",
           text.substr(0, 80));
  refuse_deep(text, "override");  // copying and merging a table of 60 000 levels takes minutes, or the stack
  Json value = override_value(text.substr(equals + 1));
  std::string key = text.substr(0, equals);
  for (auto dot = key.rfind('.'); dot != std::string::npos; dot = key.rfind('.')) {
    value = Json{{key.substr(dot + 1), value}};
    key = key.substr(0, dot);
  }
  return Json{{key, value}};
}

std::string find_recipe(const std::string& name, const std::vector<std::string>& folders) {
  namespace fs = std::filesystem;
  if (name.size() > 5 && name.substr(name.size() - 5) == ".toml") return name;
  std::vector<std::string> known;
  for (const auto& folder : folders) {
    std::error_code ignored;
    const auto path = fs::path(folder) / (name + ".toml");
    const bool plain = name.find('/') == std::string::npos && name.find("..") == std::string::npos;
    if (plain && fs::exists(path, ignored)) return path.string();
    for (const auto& file : fs::directory_iterator(folder, ignored)) {
      if (file.path().extension() == ".toml") known.push_back(file.path().stem().string());
    }
  }
  throw ValueError(
      fmt::format("recipe: unknown recipe \"{}\"{}", name.substr(0, 100), near_miss(name, known)));
}

}  // namespace

void merge_override(Json& table, const std::string& text) { merge(table, override_table(text)); }

std::string Recipe::kind(const std::string& arm) const {
  return entry(document.at("arms"), "arm", arm).value("kind", "");
}

std::vector<std::string> Recipe::sources(const std::string& arm) const {
  const auto& all = document.at("arms");
  const auto from = entry(all, "arm", arm).value("from", Json::array());
  const auto found =
      from.is_string() ? std::vector<std::string>{from.text()} : from.get<std::vector<std::string>>();
  for (const auto& source : found) entry(all, "arm", source);
  return found;
}

std::vector<std::string> Recipe::in_order(const std::vector<std::string>& wanted) const {
  std::vector<std::string> order, waiting;
  for (const auto& arm : wanted) visit(*this, arm, waiting, order);
  return order;
}

std::vector<std::string> Recipe::arms_at(const std::string& size) const {
  const auto& table = entry(document.at("sizes"), "size", size);
  if (!table.contains("arms")) return arms;
  const auto& list = table.at("arms");
  const bool names = list.is_array() && !list.empty() &&
                     std::all_of(list.begin(), list.end(), [](const Json& each) { return each.is_string(); });
  GW_CHECK(names, "recipe {}: expected a list of arms in sizes.{}, got {}", name, size,
           list.dump().substr(0, 60));
  const auto some = list.get<std::vector<std::string>>();
  for (const auto& arm : some) entry(document.at("arms"), "arm", arm);
  return some;
}

std::vector<int64_t> Recipe::seeds(const std::string& size) const {
  const auto& table = entry(document.at("sizes"), "size", size);
  const auto list = table.value("seeds", Json::array({0}));
  GW_CHECK(list.is_array() && !list.empty(), "recipe {}: expected a list of seeds in sizes.{}, got {}", name,
           size, list.dump());
  std::vector<int64_t> out;
  for (const auto& seed : list) {
    GW_CHECK(seed.is_number_integer(), "recipe {}: expected integer seeds in sizes.{}, got {}", name, size,
             seed.dump());
    out.push_back(seed.get<int64_t>());
  }
  return out;
}

Json Recipe::merged(const std::string& arm, const std::string& size, int64_t seed,
                    const std::vector<std::string>& overrides) const {
  const auto& arm_table = entry(document.at("arms"), "arm", arm);
  Json table = document.value("defaults", Json::object());
  merge(table, config_of(entry(document.at("sizes"), "size", size)));
  merge(table, config_of(arm_table));
  if (arm_table.contains("sizes") && arm_table["sizes"].contains(size))
    merge(table, config_of(arm_table["sizes"][size]));
  table["name"] = name, table["arm"] = arm, table["seed"] = seed;
  for (const auto& text : overrides) merge_override(table, text);
  for (const char* key : {"name", "arm"}) {
    if (!table[key].is_string()) continue;  // refused when it is read
    check_name("override", std::string_view(key) == "name" ? "recipe" : "arm", table[key].get<std::string>());
  }
  return table;
}

Recipe load_recipe(const std::string& name_or_path, const std::vector<std::string>& folders) {
  Recipe recipe;
  recipe.path = find_recipe(name_or_path, folders);
  recipe.document = parse_toml(read_file(recipe.path, kRecipeLimitBytes), "recipe " + recipe.path);
  check_document(recipe.path, recipe.document);
  recipe.name = recipe.document.value("name", std::filesystem::path(recipe.path).stem().string());
  check_name("recipe " + recipe.path, "recipe", recipe.name);
  recipe.arms = keys(recipe.document["arms"]);
  recipe.sizes = keys(recipe.document["sizes"]);
  recipe.in_order(recipe.arms);
  for (const auto& size : recipe.sizes) recipe.arms_at(size);
  const auto marks = recipe.document.value("marks", Json::array());
  GW_CHECK(marks.is_array(), "recipe {}: expected a list of tables [[marks]], got {}", recipe.path,
           marks.dump().substr(0, 60));
  for (const auto& table : marks)
    recipe.marks.push_back(read_mark(recipe.name, table, recipe.arms, recipe.sizes));
  return recipe;
}

}  // namespace gw::inline train
