#include "gatewright/train/robust/label_groups.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/runs/group_source.h"
#include "gatewright/runs/measured_arm.h"
#include "gatewright/runs/progress.h"
#include "gatewright/train/robust/attack.h"
#include "gatewright/train/robust/confusion.h"
#include "gatewright/train/robust/threat_model.h"

namespace gw::inline runs {
namespace {

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

/// The share of the confusions that stay inside a group.
double kept_within(const at::Tensor& confusion, const at::Tensor& group) {
  const auto wrong = confusion - confusion.diag().diag();
  const auto together = group.unsqueeze(0).eq(group.unsqueeze(1));
  return share(wrong.masked_select(together).sum().item<double>(), wrong.sum().item<double>());
}

ValueTable confusion_table(const at::Tensor& confusion, const std::vector<std::string>& names) {
  ValueTable table{"label", names, names, {}};
  for (int64_t i = 0; i < confusion.size(0); ++i) {
    const auto row = confusion[i].contiguous();
    table.values.emplace_back(row.data_ptr<double>(), row.data_ptr<double>() + row.numel());
  }
  return table;
}

/// Groups of labels for the experts of a mixture, from what a trained network confuses under attack: the
/// network of another arm (`from`), its held-out training images. A training that starts from this arm has
/// them as groups = "from".
/// Leaves the tables "confusion" (images of each label, by the answer under attack) and "label_groups", and
/// of the metrics robust_accuracy, kept_within (share of the confusions inside a group) and
/// kept_within_modulo (the same of labels modulo the number of groups).
/// Errors: ValueError for anything but one training of images to start from, for what the attack or
///         group_by_confusion refuses, and for a source without held-out images.
/// Cost:   nothing is kept of an interrupted run: it starts again.
class LabelGroupsArm : public Arm {
 public:
  static constexpr const char* kSummary = "groups of labels that a trained network confuses under attack";
  static constexpr const char* kSource = "";
  struct Grouping : OptionSet {
    int64_t count = 2, slack = 1;
    PartChoice attack = "pgd";
    void fields(OptionVisitor& v) override {
      v.integer("count", count, "groups, one for each expert", 2, 1024);
      v.integer("slack", slack, "labels that a group may have above or below its even share", 0, 1 << 20);
      v.part("attack", attack, "part of the attacks catalogue");
    }
  };
  /// What a training has is read and left aside, so that a recipe's defaults may stand.
  struct Options : TrainConfig {
    Nested<Grouping> label_groups;
    void fields(OptionVisitor& v) override {
      TrainConfig::fields(v);
      v.table("label_groups", label_groups, "how many groups, how even, and the attack");
    }
  };

  LabelGroupsArm(const Options& options, const Context&)
      : options_(options), grouping_(*options.label_groups) {}

  void validate(const std::vector<const Arm*>& from) const override {
    GW_CHECK(
        from.size() == 1,
        "arms/label_groups: expected one training for arm \"{}\" to start from, got {} arms; set \"from\"",
        options_.arm, from.size());
    const auto left = from[0]->leaves().metrics;
    GW_CHECK(!gives_groups(*from[0]) && std::find(left.begin(), left.end(), "robust_accuracy") != left.end(),
             "arms/label_groups: expected a training of images for arm \"{}\" to start from, got another arm",
             options_.arm);
    const double epsilon = threat_of(*make_task(options_), "arms/label_groups").epsilon;
    make_chosen<Attack>(grouping_.attack, {epsilon});
  }

  ArmResult run(const ArmRun& run, const std::vector<Artefact>& from) const override {
    auto grouping = grouping_;
    auto table = measured_table(options_, "label_groups", grouping);
    table["start"]["crc32c"] = start_checksum(from.at(0));
    return run_measured(table, run, [&](ArmResult& result) { group(*open_trained(from[0]), run, result); });
  }

  LeftNames leaves() const override {
    return {{"robust_accuracy", "kept_within", "kept_within_modulo"}, {}, {"confusion", kGroupsTable}};
  }

  ResultTable shown() const override {
    using Shown = ResultColumn::Shown;
    return {{{"attacked %", "robust_accuracy", Shown::kPercent},
             {"confusions kept within groups %", "kept_within", Shown::kPercent},
             {"by labels modulo E %", "kept_within_modulo", Shown::kPercent}}};
  }

 private:
  void group(Trainer& trained, const ArmRun& run, ArmResult& result) const {
    GW_CHECK(trained.validation().size() > 0,
             "arms/label_groups: expected held-out images of the training, got none; set validation there");
    std::optional<Progress> progress;
    const auto tick = [&](int64_t done, int64_t total) {
      if (run.stop.requested()) throw Interrupted("interrupted while looking for groups");
      if (run.progress == nullptr) return;
      if (!progress) {
        auto how = progress_for(run.progress, run.now_s);
        how.label = options_.arm, how.unit = "images";
        progress.emplace(total, how, 0);
      }
      progress->update(done);
    };
    const auto confusion = attacked_confusion(trained.network(), trained.validation(), grouping_.attack,
                                              threat_of(trained.task(), "arms/label_groups").epsilon,
                                              Rng(static_cast<uint64_t>(options_.seed)), tick);
    const auto groups = group_by_confusion(confusion, grouping_.count, grouping_.slack);
    const auto modulo = at::arange(confusion.size(0), at::kLong).remainder(grouping_.count);
    result.metrics = {
        {"robust_accuracy", share(confusion.trace().item<double>(), confusion.sum().item<double>())},
        {"kept_within", kept_within(confusion, group_of_labels(groups))},
        {"kept_within_modulo", kept_within(confusion, modulo)}};
    auto names = trained.data().class_names;
    for (auto i = static_cast<int64_t>(names.size()); i < confusion.size(0); ++i)
      names.push_back(std::to_string(i));
    result.tables = {{"confusion", confusion_table(confusion, names)},
                     {kGroupsTable, groups_table(groups, names)}};
  }

  Options options_;
  Grouping grouping_;
};

}  // namespace
}  // namespace gw::inline runs

GW_REGISTER(gw::Arm, gw::LabelGroupsArm);
