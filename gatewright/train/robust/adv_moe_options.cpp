#include "gatewright/train/robust/adv_moe_options.h"

#include "gatewright/base/check.h"

namespace gw::inline train {

void AdvMoeOptions::fields(OptionVisitor& v) {
  TradesOptions::fields(v);
  v.real("alpha", alpha, "weight of the router's label loss", 0, 1e6);
  v.text("router_target", router_target,
         "what teaches the router: labels modulo E (published code), the task loss (paper) or groups of "
         "labels",
         {"label_mod_n", "bilevel", "groups"});
  v.integer_lists("groups", groups, "the labels of each expert: [[5, 7, 8, 9], [0, 1, 2, 3, 4, 6]]",
                  INT64_MIN, INT64_MAX);
  v.flag("balanced_groups", balanced_groups,
         "groups weigh the same in the router's loss, whatever their size");
  v.text("expert_attack", expert_attack,
         "what the experts' attack may use: router and pathway, or the pathway of the clean image alone",
         {"joint", "pathway"});
  v.text(
      "router_attack", router_attack,
      "what the router's attack climbs: the network's answer and the scores, or the scores alone; bounds: no "
      "attack, but the worst scores that the router's bounds allow, weighed by beta",
      {"joint", "scores", "bounds"});
  v.real("bounds_ramp", bounds_ramp,
         "share of the run over which the radius of the bounds grows to epsilon; 0: epsilon from the start",
         0, 1);
  v.real("strays", strays, "share of the images that meet another expert than their own in the expert step",
         0, 1);
  v.part("balancer", balancer,
         "a balance loss of the bilevel router step: {part = \"switch_loss\", coefficient = 1}");
}

LabelGroups AdvMoeOptions::checked_groups() const {
  constexpr const char* kPart = "objectives/adv_moe";
  const bool grouped = router_target == "groups";
  GW_CHECK(grouped || (groups.empty() && !balanced_groups),
           "{}: expected router_target = \"groups\" with groups, got \"{}\"", kPart, router_target);
  GW_CHECK(strays == 0 || expert_attack == "pathway",
           "{}: expected expert_attack = \"pathway\" with strays, got \"joint\", whose attacked images find "
           "their own way",
           kPart);
  GW_CHECK(router_attack == "joint" || router_target != "bilevel",
           "{}: expected router_attack = \"joint\" with router_target = \"bilevel\", whose loss is the "
           "network's answer, got \"{}\"",
           kPart, router_attack);
  return grouped ? read_label_groups(kPart, groups) : LabelGroups{};
}

}  // namespace gw::inline train
