#include "gatewright/base/check.h"
#include "gatewright/runs/exit_trials.h"
#include "gatewright/runs/measured_arm.h"

namespace gw::inline runs {
namespace {

/// A trained dense image network or model of tokens, frozen, with exits: learned jointly with their gates at
/// several prices of cost, beside thresholds on the confidence of exits that were trained alone.
/// Leaves  what gatewright/runs/exit_trials.h says.
/// Cost:   one pass over the data for the features, then seconds; nothing is kept of an interrupted run.
/// Errors: ValueError for anything but one training in "from" of what has stages
///         (gatewright/models/staged_model.h).
class EarlyExitArm : public Arm {
 public:
  static constexpr const char* kSummary =
      "exits on a trained model of images or tokens: accuracy against measured time";
  static constexpr const char* kSource = "JEI-DNN, arXiv 2310.09163";
  struct Options : TrainConfig {
    Nested<ExitTrialOptions> early_exit;
    void fields(OptionVisitor& v) override {
      TrainConfig::fields(v);
      v.table("early_exit", early_exit, "where exits stand, how they are trained, prices and bound");
    }
  };

  EarlyExitArm(const Options& options, const Context&) : o_(options), how_(*options.early_exit) {}

  void validate(const std::vector<const Arm*>& from) const override {
    GW_CHECK(from.size() == 1,
             "arms/early_exit: expected one training in \"from\" of arm \"{}\", got {} arms", o_.arm,
             from.size());
    GW_CHECK(trains_classes(*from[0]),
             "arms/early_exit: expected a training of classes for arm \"{}\" to start from, got "
             "another arm",
             o_.arm);
    GW_CHECK(!how_.prices.empty(), "arms/early_exit: expected \"prices\" in arm \"{}\", got none", o_.arm);
  }

  ArmResult run(const ArmRun& run, const std::vector<Artefact>& from) const override {
    auto how = how_;
    auto table = measured_table(o_, "early_exit", how);
    table["start"]["crc32c"] = start_checksum(from.at(0));
    return run_measured(table, run, [&](ArmResult& result) { measure(*open_trained(from[0]), run, result); });
  }

  LeftNames leaves() const override { return exit_trial_names(); }

  ResultTable shown() const override {
    using Shown = ResultColumn::Shown;
    return {{{"whole %", "full_accuracy", Shown::kPercent},
             {"exits %", "exit_accuracy", Shown::kPercent},
             {"cost", "cost", Shown::kNumber, "{:.2f}"},
             {"time, batch 1", "time_ratio.1", Shown::kNumber, "{:.2f}"},
             {"time, batch 128", "time_ratio.128", Shown::kNumber, "{:.2f}"},
             {"at cost 0.6 %", "accuracy_at", Shown::kPercent},
             {"by confidence %", "threshold.accuracy_at", Shown::kPercent},
             {"calibrated %", "calibrated.accuracy", Shown::kPercent},
             {"its cost", "calibrated.cost", Shown::kNumber, "{:.2f}"}},
            {},
            "cost, time: over those of the whole network."};
  }

 private:
  void measure(Trainer& trained, const ArmRun& run, ArmResult& result) const {
    const auto& config = trained.config();
    const auto split = split_validation(trained.data().train, trained.data().classes, config.validation,
                                        static_cast<uint64_t>(config.seed));
    const auto model = std::dynamic_pointer_cast<Model>(trained.model().shared_from_this());
    auto trials = try_exits(model, {split.train, split.validation, trained.data().test}, how_,
                            static_cast<uint64_t>(o_.seed), run);
    result.metrics = std::move(trials.metrics), result.curves = std::move(trials.curves),
    result.tables = std::move(trials.tables);
  }

  Options o_;
  ExitTrialOptions how_;
};

}  // namespace
}  // namespace gw::inline runs

GW_REGISTER(gw::Arm, gw::EarlyExitArm);
