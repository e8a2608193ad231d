#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/runs/measured_arm.h"
#include "gatewright/runs/step_trials.h"

namespace gw::inline runs {
namespace {

/// A trained network of sequences run step by step over a stream of its test text: is it the same, and what
/// does it save? Leaves what gatewright/runs/step_trials.h says.
/// Errors: ValueError for anything but one training in "from", and for a network without steps.
/// Cost:   `steps` passes of a window; nothing is kept of an interrupted run.
class ContinualArm : public Arm {
 public:
  static constexpr const char* kSummary =
      "a trained network run step by step over a stream, beside whole windows";
  static constexpr const char* kSource = "arXiv 2106.00050, arXiv 2201.06268";
  struct Options : TrainConfig {
    Nested<StepTrialOptions> continual;
    void fields(OptionVisitor& v) override {
      TrainConfig::fields(v);
      v.table("continual", continual, "how many steps are compared, and on which domain");
    }
  };

  ContinualArm(const Options& options, const Context&) : o_(options), how_(*options.continual) {}

  void validate(const std::vector<const Arm*>& from) const override {
    const auto trained = [](const Arm& arm) {
      const auto left = arm.leaves().metrics;
      return std::find(left.begin(), left.end(), "macs") != left.end();
    };
    GW_CHECK(from.size() == 1 && trained(*from[0]),
             "arms/continual: expected one training for arm \"{}\" to start from, got {}", o_.arm,
             from.size() == 1 ? "another arm" : std::to_string(from.size()) + " arms");
  }

  ArmResult run(const ArmRun& run, const std::vector<Artefact>& from) const override {
    auto how = how_;
    auto table = measured_table(o_, "continual", how);
    table["start"]["crc32c"] = start_checksum(from.at(0));
    return run_measured(table, run, [&](ArmResult& result) {
      const auto trained = open_trained(from[0]);
      result.metrics = try_steps(trained->model(), trained->data().test, how_, run);
    });
  }

  LeftNames leaves() const override { return {step_trial_metrics(), {}, {}}; }

  ResultTable shown() const override {
    using Shown = ResultColumn::Shown;
    return {
        {{"window", "receptive_field", Shown::kNumber, "{:.0f}"},
         {"delay", "delay", Shown::kNumber, "{:.0f}"},
         {"difference", "difference", Shown::kNumber, "{:.1e}"},
         {"same answer %", "agreement", Shown::kPercent},
         {"multiply-adds, window", "macs_window", Shown::kMacs},
         {"step", "macs_step", Shown::kMacs},
         {"ratio", "macs_ratio", Shown::kNumber, "{:.3f}"},
         {"ms, window", "ms_window", Shown::kNumber, "{:.3f}"},
         {"step", "ms_step", Shown::kNumber, "{:.3f}"},
         {"times as fast", "speedup", Shown::kNumber, "{:.1f}"}},
        {},
        "window: tokens that an answer depends on, computed again at every step; step: the new one alone."};
  }

 private:
  Options o_;
  StepTrialOptions how_;
};

}  // namespace
}  // namespace gw::inline runs

GW_REGISTER(gw::Arm, gw::ContinualArm);
