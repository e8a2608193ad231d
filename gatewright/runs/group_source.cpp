#include "gatewright/runs/group_source.h"

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"

namespace gw::inline runs {
namespace {

constexpr const char *kKey = "groups", *kFrom = "from";

}  // namespace

bool gives_groups(const Arm& arm) {
  const auto tables = arm.leaves().tables;
  return std::find(tables.begin(), tables.end(), kGroupsTable) != tables.end();
}

bool wants_groups(const TrainConfig& config) {
  const auto& objective = config.objective.options;
  const auto it = objective.find(kKey);
  return it != objective.end() && *it == kFrom;
}

TrainConfig with_groups(TrainConfig config, const LabelGroups& groups) {
  config.objective.options[kKey] = groups;
  return config;
}

TrainConfig with_stand_in_groups(const TrainConfig& config) {
  if (!wants_groups(config)) return config;
  const auto& network = config.network.json();
  const auto experts = network.find("experts");
  const int64_t given =
      experts != network.end() && experts->is_number_integer() ? experts->get<int64_t>() : 0;
  const bool counted = given > 0 && given <= 1024;
  LabelGroups groups;
  for (int64_t e = 0; e < (counted ? given : 1); ++e) groups.push_back({e});
  return with_groups(config, groups);
}

ValueTable groups_table(const LabelGroups& groups, const std::vector<std::string>& names) {
  ValueTable table{"label", {"group"}, names, std::vector<std::vector<double>>(names.size())};
  for (size_t g = 0; g < groups.size(); ++g) {
    for (const int64_t label : groups[g])
      table.values.at(static_cast<size_t>(label)) = {static_cast<double>(g)};
  }
  return table;
}

std::optional<LabelGroups> read_groups(const std::string& directory) {
  const auto results = read_results(directory);
  const auto it = results.tables.find(kGroupsTable);
  if (it == results.tables.end()) return std::nullopt;
  LabelGroups groups;
  for (size_t label = 0; label < it->second.values.size(); ++label) {
    const auto& row = it->second.values[label];
    const double group = row.size() == 1 ? row[0] : -1;
    GW_CHECK(
        group >= 0 && group < 1024 && group == std::floor(group),
        "run {}: expected the number of a group for label {} in {}, got something else; run that arm again",
        directory, label, kResultsFile);
    groups.resize(std::max(groups.size(), static_cast<size_t>(group) + 1));
    groups[static_cast<size_t>(group)].push_back(static_cast<int64_t>(label));
  }
  return read_label_groups("run " + directory, groups);  // refuses groups without a label
}

}  // namespace gw::inline runs
