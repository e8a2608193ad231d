#include "gatewright/likelihood/experiment.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>

#include "gatewright/base/check.h"
#include "gatewright/runs/arm.h"
#include "gatewright/runs/progress.h"

namespace gw::inline runs {
namespace {

Json curves_json(const likelihood::ExperimentResult& result) {
  Json curves = Json::array();
  for (const auto& curve : result.curves)
    curves.push_back({{"name", curve.name},
                      {"x", curve.x},
                      {"median", curve.median},
                      {"low", curve.low},
                      {"high", curve.high},
                      {"slope", curve.slope}});
  return {{"axis", result.axis}, {"curves", curves}};
}

/// The medians over the axis, as marks read them.
std::map<std::string, Curve> medians(const std::string& directory) {
  const auto path = directory + "/" + kRatesFile;
  std::map<std::string, Curve> curves;
  const auto rates = parse_rates(read_json(path), path);
  for (const auto& rate : rates.curves) curves[rate.name] = {rates.axis, rate.x, rate.median};
  return curves;
}

/// A statistical experiment: many small trials over a grid, their medians and slopes.
/// Leaves rates.json (curves over the experiment's axis) and metrics.json. Metrics that are not finite are
/// left out, so that their marks do not hold.
/// Errors: ValueError for keys beside name, arm, seed and experiment, for what the part refuses, and for an
///         arm to start from.
/// Cost:   nothing is kept of an interrupted run: it starts again.
class ExperimentArm : public Arm {
 public:
  static constexpr const char* kSummary = "a statistical experiment: rates and shares over many small trials";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {
    std::string name = "run", arm = "default";
    PartChoice experiment;
    int64_t seed = 0;
    void fields(OptionVisitor& v) override {
      v.text("name", name, "of the recipe");
      v.text("arm", arm, "of the recipe's arms");
      v.integer("seed", seed, "of all trials", 0, INT64_MAX);
      v.part("experiment", experiment, "part of the experiments catalogue");
    }
  };

  ExperimentArm(const Options& options, const Context&)
      : arm_(options.arm), seed_(options.seed), table_(table_of(options)), experiment_(part_of(options)) {}

  void validate(const std::vector<const Arm*>& from) const override {
    GW_CHECK(from.empty(),
             "arms/experiment: expected no \"from\" for arm \"{}\", got one; an experiment starts from "
             "nothing",
             arm_);
  }

  ArmResult run(const ArmRun& run, const std::vector<Artefact>&) const override {
    if (auto done = finished_metrics(run.directory, table_))
      return {arm_, seed_, std::move(*done), medians(run.directory)};
    RunDirectory directory(
        run.directory, table_,
        {.resume = run.resume, .tensorboard = false, .wall_time_s = run.wall_time_s, .may_differ = {}});
    note_origin(directory, run.about);
    const auto result = trials(run);
    ArmResult arm{arm_, seed_, {}};
    for (const auto& [name, value] : result.metrics) {
      if (std::isfinite(value)) arm.metrics[name] = value;
    }
    directory.write_json(kRatesFile, curves_json(result));
    directory.write_json(kSummaryFile, {{"config", table_}, {"metrics", arm.metrics}});
    arm.curves = medians(run.directory);
    return arm;
  }

  LeftNames leaves() const override {
    return {likelihood::metric_names(*experiment_), experiment_->measures().curves, {}};
  }

  /// Every curve's slope and ends.
  ResultTable shown() const override {
    auto curves = experiment_->measures().curves;
    std::sort(curves.begin(), curves.end());
    const auto plain = ResultColumn::Shown::kNumber;
    return {{{"slope", "slope.*", plain, "{:.2f}"}, {"first", "first.*"}, {"last", "last.*"}}, curves};
  }

 private:
  static Json table_of(const Options& options) {
    return {{"name", options.name},
            {"arm", options.arm},
            {"seed", options.seed},
            {"experiment", options.experiment.json()}};
  }
  static std::shared_ptr<likelihood::Experiment> part_of(const Options& options) {
    return make_chosen<likelihood::Experiment>(options.experiment, {static_cast<uint64_t>(options.seed)});
  }

  likelihood::ExperimentResult trials(const ArmRun& run) const {
    likelihood::ExperimentRun how;
    how.threads = at::get_num_threads();
    std::optional<Progress> progress;
    how.stop = run.stop;
    how.progress = [&](int64_t done, int64_t total) {
      if (run.progress == nullptr) return;
      if (!progress) {
        auto options = progress_for(run.progress, run.now_s);
        options.label = arm_, options.unit = "trials";
        progress.emplace(total, options, 0);
      }
      progress->update(done);
    };
    return likelihood::run_experiment(*experiment_, how);
  }

  std::string arm_;
  int64_t seed_;
  Json table_;
  std::shared_ptr<likelihood::Experiment> experiment_;
};

}  // namespace
}  // namespace gw::inline runs

GW_REGISTER(gw::Arm, gw::ExperimentArm);
