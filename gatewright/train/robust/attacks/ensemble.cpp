#include <ATen/ATen.h>

#include <algorithm>
#include <memory>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/train/robust/attack_base.h"

namespace gw::inline train {
namespace {

/// Attacks in sequence, each on the images that have resisted all before it; the worst case per image.
/// Math:   an image counts as robust only if no member fools the victim on it; a robust image keeps the
///         candidate of the largest margin.
/// Errors: ValueError for no members, an unknown member, or options for a part that is not a member.
/// Cost:   the members' on ever fewer images; the default spends 1 + 9 AutoPGD runs and 5000 queries on
///         images that resist.
/// Source: Croce & Hein 2020, arXiv 2003.01690, section 5 (AutoAttack); differs: without the FAB attack, so
///         the robust accuracy can exceed the published standard set's.
class Ensemble : public AttackBase {
 public:
  struct Options : OptionSet {
    std::vector<std::string> attacks = {"apgd_ce", "apgd_dlr", "square"};
    OptionTable options;
    void fields(OptionVisitor& v) override {
      v.texts("attacks", attacks, "members by name, in order");
      v.table("options", options,
              "a table of options per member: {apgd_ce = {steps = 50}}; apgd_dlr has targets = 9 where none "
              "are given");
    }
  };
  static constexpr const char* kSummary =
      "several attacks in sequence on the images that still resist (AutoAttack)";
  static constexpr const char* kSource = "Croce & Hein 2020, arXiv 2003.01690";
  Ensemble(Options options, const Context& context)
      : AttackBase("attacks/ensemble", context), names_(options.attacks) {
    GW_CHECK(!names_.empty(), "{}: expected at least one member in \"attacks\", got none", part());
    const Json& tables = options.options.json();
    for (const auto& [name, table] : tables.items()) {
      const bool known = std::find(names_.begin(), names_.end(), name) != names_.end();
      GW_CHECK(known, "{}: expected options of a member, got options of \"{}\"{}", part(), name,
               near_miss(name, names_));
    }
    for (const auto& name : names_) {
      Json table = name == "apgd_dlr" ? Json{{"targets", 9}} : Json::object();  // the published set's
      if (tables.contains(name)) table.update(tables[name]);
      if (name == "apgd_dlr") least_classes_ = table["targets"] == 0 ? 3 : 4;
      members_.push_back(make_part<Attack>(name, table, context));
    }
  }

 protected:
  at::Tensor search(Probe& probe, const at::Tensor& x, const at::Tensor& labels, const Rng& rng,
                    AttackResult&) override {
    const int64_t classes = probe.victim().classes();
    GW_CHECK(classes >= least_classes_,  // before the members ahead of it have done their work
             "{}: expected a victim of at least {} classes for apgd_dlr with these options, got {}; leave "
             "apgd_dlr out of \"attacks\"",
             part(), least_classes_, classes);
    Candidates worst = probe.clean_candidates(margin_loss, labels);
    for (size_t i = 0; i < members_.size(); ++i) {
      const at::Tensor rows = unreached_rows(worst.margin);
      if (rows.numel() == 0) break;
      const AttackResult found = members_[i]->run(probe.victim(), take_rows(x, rows),
                                                  labels.index_select(0, rows), rng.fork(names_[i], i));
      probe.add_queries(found.queries);
      keep_worst_rows(worst, rows, {found.images, found.margin, found.margin});
    }
    return worst.images;
  }

 private:
  int64_t least_classes_ = 2;
  std::vector<std::string> names_;
  std::vector<std::shared_ptr<Attack>> members_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Attack, gw::Ensemble);
