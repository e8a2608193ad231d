#pragma once
#include "gatewright/train/robust/label_groups.h"
#include "gatewright/train/robust/trades.h"

namespace gw::inline train {

/// Options of objectives/adv_moe.
struct AdvMoeOptions : TradesOptions {
  double alpha = 6, strays = 0, bounds_ramp = 0.5;
  std::string router_target = "label_mod_n", expert_attack = "joint", router_attack = "joint";
  std::vector<std::vector<int64_t>> groups;
  PartChoice balancer;
  bool balanced_groups = false;
  void fields(OptionVisitor& v) override;
  /// The groups, none for other targets. Errors: ValueError for options that contradict each other.
  LabelGroups checked_groups() const;
};

}  // namespace gw::inline train
