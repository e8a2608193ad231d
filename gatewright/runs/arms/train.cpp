#include <algorithm>
#include <filesystem>
#include <iterator>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/runs/group_source.h"
#include "gatewright/runs/training_run.h"
#include "gatewright/train/prepared_data.h"
#include "gatewright/train/variations.h"

namespace gw::inline runs {
namespace {

using Shown = ResultColumn::Shown;

/// `beside`: attacks that are shown next to the worst case and do not count towards it.
ResultTable image_table(const std::vector<std::string>& beside) {
  ResultTable table{
      {{"clean %", "clean_accuracy", Shown::kPercent}, {"worst case %", "robust_accuracy", Shown::kPercent}},
      {},
      "ms, multiply-adds: per image. / dense: relative to the dense network; a time above 1 is slower."};
  for (const auto& attack : beside)
    table.columns.push_back({words(attack) + ", beside %", "robust." + attack, Shown::kPercent});
  for (const ResultColumn& column :
       std::vector<ResultColumn>{{"routes changed %", "flip_rate", Shown::kPercent},
                                 {"lost by them %", "route_loss_rate", Shown::kPercent},
                                 {"multiply-adds", "macs", Shown::kMacs},
                                 {"/ dense", "macs_ratio", Shown::kNumber, "{:.2f}"},
                                 {"ms batch 1", "ms_per_image.1", Shown::kNumber, "{:.3f}"},
                                 {"/ dense", "time_ratio.1", Shown::kNumber, "{:.2f}"},
                                 {"ms batch 128", "ms_per_image.128", Shown::kNumber, "{:.4f}"},
                                 {"/ dense", "time_ratio.128", Shown::kNumber, "{:.2f}"}})
    table.columns.push_back(column);
  return table;
}

/// "bits_per_token" → "bits per token"; shares in per cent.
ResultColumn measure_column(const std::string& name) {
  const auto heading = words(name);
  const bool share = name.ends_with("accuracy");
  return {share ? heading + " %" : heading, name, share ? Shown::kPercent : Shown::kNumber, "{:.3f}"};
}

/// A training: leaves its best checkpoint and what it measures on the test examples.
/// From another training (`from`) it starts at the weights of that one's best checkpoint, with a fresh
/// optimizer; otherwise at weights that the seed draws. The training that `teacher = {arm = …}` names teaches
/// instead. From an arm that leaves groups of labels it takes
/// them as its objective's groups = "from"; from one that leaves variations of its images, those in place of
/// its training images (variations = {arm = …}).
/// Errors: ValueError for more than one arm of a kind to start from, for one that is neither, for groups that
///         nobody gives or nobody wants, and for weights that do not fit, naming tensors and both shapes.
class TrainArm : public Arm {
 public:
  static constexpr const char* kSummary = "a training and its evaluation; may start from another's weights";
  static constexpr const char* kSource = "";
  using Options = TrainConfig;

  TrainArm(const Options& config, const Context&)
      : config_(config), teacher_arm_(config.teacher->arm), variations_arm_(config.variations->arm) {}

  void validate(const std::vector<const Arm*>& all) const override {
    const auto groups =
        std::count_if(all.begin(), all.end(), [](const Arm* arm) { return gives_groups(*arm); });
    GW_CHECK(groups == (wants_groups(config_) ? 1 : 0),
             "arms/train: expected groups = \"from\" in the objective of arm \"{}\" and one arm that leaves "
             "groups in \"from\", or neither, got {} such arms; kind = \"label_groups\" makes one",
             config_.arm, groups);
    const auto config = with_stand_in_groups(config_);
    check_config(config);
    std::vector<const Arm*> from;
    std::copy_if(all.begin(), all.end(), std::back_inserter(from),
                 [&](const Arm* arm) { return !gives_groups(*arm) && !teaches(*arm) && !varies(arm); });
    const auto teachers =
        std::count_if(all.begin(), all.end(), [&](const Arm* arm) { return teaches(*arm); });
    GW_CHECK(teachers == (teacher_arm_.empty() ? 0 : 1),
             "arms/train: expected the teacher \"{}\" of arm \"{}\" among the trainings in its \"from\", got "
             "{} such",
             teacher_arm_, config_.arm, teachers);
    const auto variations = std::count_if(all.begin(), all.end(), varies);
    GW_CHECK(variations == (variations_arm_.empty() ? 0 : 1),
             "arms/train: expected variations = {{arm = …}} for arm \"{}\" and one arm of kind "
             "\"image_variations\" in its \"from\", or neither, got \"{}\" and {} such arms",
             config_.arm, variations_arm_, variations);
    if (from.empty()) return;
    GW_CHECK(from.size() == 1, "arms/train: expected one arm for arm \"{}\" to start from, got {}",
             config_.arm, from.size());
    const auto* source = dynamic_cast<const TrainArm*>(from[0]);
    GW_CHECK(source != nullptr,
             "arms/train: expected a training for arm \"{}\" to start from, got another kind of arm",
             config_.arm);
    GW_CHECK(config_.start->checkpoint.empty(),
             "arms/train: expected \"from\" or a checkpoint under \"start\" for arm \"{}\", got both",
             config_.arm);
    check_start(config, source->config_, "arm \"" + source->config_.arm + "\"");
  }

  ArmResult run(const ArmRun& run, const std::vector<Artefact>& from) const override {
    auto config = config_;
    for (const auto& source : from) {
      if (const auto groups = read_groups(source.directory)) {
        config = with_groups(config, *groups);
      } else if (const auto made = source.directory + "/" + kVariationsFile; std::filesystem::exists(made)) {
        GW_CHECK(source.arm == variations_arm_,
                 "arms/train: expected the variations \"{}\" of arm \"{}\" in its \"from\", got \"{}\"",
                 variations_arm_, config_.arm, source.arm);
        give(config.variations, "file", made);
      } else {
        auto& options = source.arm == teacher_arm_ ? static_cast<OptionTable&>(config.teacher)
                                                   : static_cast<OptionTable&>(config.start);
        give(options, "checkpoint", source.directory + "/" + kBestCheckpoint);
      }
    }
    return run_training(noting_start(config), run);
  }

  LeftNames leaves() const override { return training_names(with_stand_in_groups(config_)); }

  ResultTable shown() const override {
    auto table = trains_images(config_) ? image_table(config_.evaluation->beside) : measures_table();
    for (const auto& probe : probe_names(config_))
      table.columns.push_back({words(probe) + " %", probe, Shown::kPercent});
    return table;
  }

 private:
  ResultTable measures_table() const {
    ResultTable table;
    for (const auto& name : make_task(config_)->measures()) table.columns.push_back(measure_column(name));
    table.columns.push_back({"multiply-adds", "macs", Shown::kMacs});
    table.columns.push_back({"ms batch 1", "ms_per_example.1", Shown::kNumber, "{:.3f}"});
    table.columns.push_back({"ms batch 128", "ms_per_example.128", Shown::kNumber, "{:.4f}"});
    table.note = "ms, multiply-adds: per example.";
    return table;
  }

  static void give(OptionTable& options, const char* key, const std::string& path) {
    Json table = options.json();
    table[key] = path;
    options.read("arms/train", table);
  }

  static bool varies(const Arm* arm) {
    const auto files = arm->leaves().files;
    return std::find(files.begin(), files.end(), kVariationsFile) != files.end();
  }

  bool teaches(const Arm& arm) const {
    const auto* training = dynamic_cast<const TrainArm*>(&arm);
    return training != nullptr && !teacher_arm_.empty() && training->config_.arm == teacher_arm_;
  }

  TrainConfig config_;
  std::string teacher_arm_, variations_arm_;
};

}  // namespace
}  // namespace gw::inline runs

GW_REGISTER(gw::Arm, gw::TrainArm);
