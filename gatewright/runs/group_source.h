#pragma once
// Groups of labels that one arm finds and another trains with: groups = "from" in its objective.
#include "gatewright/runs/arm.h"
#include "gatewright/train/robust/label_groups.h"

namespace gw::inline runs {

/// The table in which an arm leaves groups: a row for each label, one column, the number of its group.
inline constexpr const char* kGroupsTable = "label_groups";

/// Whether an arm leaves such a table.
bool gives_groups(const Arm& arm);
/// Whether a training's objective has groups = "from".
bool wants_groups(const TrainConfig& config);
/// The config with these groups in place of "from".
TrainConfig with_groups(TrainConfig config, const LabelGroups& groups);
/// The config with a label for each expert in place of "from": what can be examined before groups are found.
/// The config itself where it does not want any.
TrainConfig with_stand_in_groups(const TrainConfig& config);

/// The groups as a table. `names` are the labels'.
ValueTable groups_table(const LabelGroups& groups, const std::vector<std::string>& names);
/// The groups that a run directory's table holds; nothing without that table.
/// Errors: ValueError naming the directory for a table that is no partition.
std::optional<LabelGroups> read_groups(const std::string& directory);

}  // namespace gw::inline runs
