#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/multi_gate.h"

namespace gw::inline models {
namespace {

/// A hierarchy of gates over groups of tasks: normalised experts, a mask between groups, a feature gate for
/// each expert and a self gate for each set of private ones.
/// Math:   level 1: group g sees the shared experts and its own, the shared gate sees all: z_g, z_S. Level 2:
///         task t of group g reads [z_g; z_S] and sees shared experts, those of its group and its own, never
///         those of another group. Experts: swish(norm(W (x ∘ F(x)) + b)); F and the self gate as in
///         gatewright/models/expert_set.h and multi_gate.h.
/// Shapes: x [B, D] → [B, Σ widths].
/// Errors: ValueError for a group of tasks that are no answers, a task in two groups or in none.
/// Source: reconstructed from the description of Wang et al. 2024, "HoME", arXiv 2408.05430, whose code is
/// not
///         public. Ours where it is silent: shared experts of level 2 read z_S; every expert has a feature
///         gate of its own on both levels.
class Home : public MultiGateModel {
 public:
  static constexpr const char* kSummary =
      "several answers of a row: gates in two levels over groups of answers, feature gates, self gates";
  static constexpr const char* kSource = "after arXiv 2408.05430, reconstructed";
  struct Options : MultiGateOptions {
    OptionTable groups;
    int64_t shared = 1, of_group = 1, own = 1, pieces = 2, rank = 4;
    bool norm = true, self_gate = true;
    Options() { activation = "silu"; }
    void fields(OptionVisitor& v) override {
      MultiGateOptions::fields(v);
      v.table("groups", groups,
              "answers of each group by name: {clicks = [\"like\", \"share\"]}; {}: one group");
      v.integer("shared", shared, "experts of each level that all gates see", 1, 4096);
      v.integer("of_group", of_group, "experts of each level for each group", 1, 4096);
      v.integer("own", own, "experts of level 2 for each answer alone", 1, 4096);
      v.integer("pieces", pieces, "low-rank pieces of each expert's feature gate; 0: no feature gates", 0,
                64);
      v.integer("rank", rank, "rank of each piece", 1, 4096);
      v.flag("norm", norm, "normalise each expert over the batch, before its activation");
      v.flag("self_gate", self_gate, "a residual path for each set of private experts");
    }
  };

  Home(const Options& options, const Context& context)
      : MultiGateModel("home", context, options, form_of(options), wiring(options, context)) {}

 private:
  static ExpertForm form_of(const Options& options) {
    ExpertForm form;
    form.norm = options.norm, form.pieces = options.pieces, form.rank = options.rank;
    return form;
  }

  struct Groups {
    std::vector<std::string> names;
    std::vector<int64_t> of_task;
  };
  static Groups groups_of(const Options& options, const std::vector<std::string>& parts) {
    Groups groups{{}, std::vector<int64_t>(parts.size(), -1)};
    if (options.groups.empty()) return {{"all"}, std::vector<int64_t>(parts.size(), 0)};
    for (const auto& [group, members] : options.groups.json().items()) {
      GW_CHECK(members.is_array(), "networks/home: expected a list of answers for the group \"{}\", got {}",
               group, members.type_name());
      for (const auto& member : members) {
        GW_CHECK(member.is_string(), "networks/home: expected names of answers in the group \"{}\", got {}",
                 group, member.type_name());
        const auto found = std::find(parts.begin(), parts.end(), member.get<std::string>());
        GW_CHECK(found != parts.end(), "networks/home: unknown answer \"{}\" in the group \"{}\"{}",
                 member.get<std::string>(), group, near_miss(member.get<std::string>(), parts));
        auto& place = groups.of_task[static_cast<size_t>(found - parts.begin())];
        GW_CHECK(place < 0, "networks/home: expected each answer in one group, got \"{}\" in two", *found);
        place = static_cast<int64_t>(groups.names.size());
      }
      groups.names.push_back(group);
    }
    for (size_t t = 0; t < parts.size(); ++t)
      GW_CHECK(groups.of_task[t] >= 0,
               "networks/home: expected \"{}\" in one of the groups, got it in none; add it", parts[t]);
    return groups;
  }

  static Wiring wiring(const Options& options, const Context& context) {
    const auto parts = parts_of("home", context);
    const auto groups = groups_of(options, parts);
    const auto count = static_cast<int64_t>(groups.names.size());
    const auto self = [&](int64_t set) { return options.self_gate ? set : -1; };
    Wiring::Level first{{{"shared", options.shared}}, {}}, second{{{"shared", options.shared, {count}}}, {}};
    std::vector<int64_t> all{0};
    for (int64_t g = 0; g < count; ++g) {
      const auto& name = groups.names[static_cast<size_t>(g)];
      first.sets.push_back({"group " + name, options.of_group});
      first.gates.push_back({"group " + name, {0, g + 1}, {}, self(g + 1)});
      second.sets.push_back({"group " + name, options.of_group, {g, count}});
      all.push_back(g + 1);
    }
    first.gates.push_back({"shared", all, {}, self(0)});
    for (size_t t = 0; t < parts.size(); ++t) {
      const auto g = groups.of_task[t], own = count + 1 + static_cast<int64_t>(t);
      second.sets.push_back({parts[t], options.own, {g, count}});
      second.gates.push_back({parts[t], {0, g + 1, own}, {g, count}, self(own)});
    }
    return {{first, second}};
  }
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::Home);
