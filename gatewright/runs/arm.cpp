#include "gatewright/runs/arm.h"

#include <filesystem>
#include <map>
#include <optional>

#include "gatewright/base/check.h"

namespace gw::inline runs {
namespace {

constexpr const char* kTraining = "train";

std::shared_ptr<Arm> make_arm(const std::string& kind, const Json& table, const std::string& where) {
  const auto& factory = std::any_cast<const Factory<Arm>&>(Registry::instance().factory(Arm::kKind, kind));
  const auto name = table.find("arm");
  return factory(where, table, {name != table.end() && name->is_string() ? name->get<std::string>() : ""});
}

/// Of a training as this version writes it, without the places of the weights that it started from and of the
/// variations: their checksums tell what they were.
Json comparable(Json config) {
  if (config.is_object() && arm_kind(config) == kTraining) config = current_document(std::move(config));
  for (const auto& [table, place] : {std::pair{"start", "checkpoint"}, std::pair{"variations", "file"}}) {
    if (config.is_object() && config.contains(table) && config[table].is_object()) config[table].erase(place);
  }
  return config;
}

}  // namespace

std::string arm_kind(const Json& table) {
  for (const auto& part : Registry::instance().list(Arm::kKind)) {
    if (table.contains(part.name)) return part.name;
  }
  return kTraining;
}

std::shared_ptr<Arm> make_arm(const Recipe& recipe, const std::string& arm, const std::string& size,
                              int64_t seed, const std::vector<std::string>& overrides) {
  const auto table = recipe.merged(arm, size, seed, overrides);
  const auto kind = recipe.kind(arm);
  return make_arm(kind.empty() ? arm_kind(table) : kind, table, "recipe " + recipe.name);
}

std::shared_ptr<Arm> make_arm(const Json& table, const std::string& where) {
  GW_CHECK(table.is_object(), "{}: expected a table, got {}", where, table.type_name());
  const auto kind = arm_kind(table);
  return make_arm(kind, kind == kTraining ? current_document(table) : table, where);
}

std::optional<std::map<std::string, double>> finished_metrics(const std::string& directory,
                                                              const Json& config) {
  const auto path = directory + "/" + kSummaryFile;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;
  const auto document = read_json(path);
  try {
    if (comparable(document.at("config")) != comparable(config)) return std::nullopt;
    return document.at("metrics").get<std::map<std::string, double>>();
  } catch (const JsonError&) {
    fail(
        "run: expected \"config\" and \"metrics\" in {}, got something else; remove the file and resume the "
        "run to measure again",
        path);
  }
}

void note_origin(RunDirectory& directory, const About& about) {
  std::error_code ignored;
  if (about.command.empty() || std::filesystem::exists(directory.file(kAboutFile), ignored)) return;
  directory.write_json(kAboutFile, to_json(about));
}

}  // namespace gw::inline runs
