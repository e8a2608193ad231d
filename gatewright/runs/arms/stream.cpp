#include <ATen/ATen.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/runs/measured_arm.h"
#include "gatewright/runs/progress.h"
#include "gatewright/train/prequential.h"

namespace gw::inline runs {
namespace {

/// A stream, evaluated prequentially: every window is answered first and learned then. Who learns is a part
/// of the catalogue of learners; trained networks that it starts from are the arms of `from`. Data that are
/// drawn (their part has a "seed") are drawn anew for every seed of the arm and every trial. Leaves what
/// gatewright/train/prequential.h says; false_alarm_trials, the share of the trials with one; of several
/// trials the means of the metrics, and curves and tables of the first. Errors: ValueError for a number of
/// arms in "from" that the learner does not take, for anything but
///         trainings among them, and as run_stream.
/// Cost:   nothing is kept of an interrupted run: it starts again.
class StreamArm : public Arm {
 public:
  static constexpr const char* kSummary = "a stream: every window is answered first, then learned";
  static constexpr const char* kSource = "";
  struct Options : TrainConfig {
    Nested<StreamOptions> stream;
    PartChoice learner = "online";
    void fields(OptionVisitor& v) override {
      TrainConfig::fields(v);
      v.table("stream", stream, "windows, parts, tasks and trials");
      v.part("learner", learner, "part of the learners catalogue");
    }
  };

  StreamArm(const Options& options, const Context&) : o_(options), how_(*options.stream) {}

  void validate(const std::vector<const Arm*>& from) const override {
    check_config(o_);
    stream_parts(how_);
    GW_CHECK(how_.trials == 1 || draws(),
             "arms/stream: expected data that are drawn for {} trials of arm \"{}\", got \"{}\"", how_.trials,
             o_.arm, o_.data.name);
    const auto learner = make_learner();
    const auto count = static_cast<int64_t>(from.size());
    GW_CHECK(
        count >= learner->least_models() && count <= learner->most_models(),
        "arms/stream: expected {} to {} trainings in \"from\" of arm \"{}\" for the learner \"{}\", got {}",
        learner->least_models(), learner->most_models(), o_.arm, o_.learner.name, count);
    for (const auto* arm : from)
      GW_CHECK(trains(*arm),
               "arms/stream: expected trainings for arm \"{}\" to start from, got another kind of arm",
               o_.arm);
  }

  ArmResult run(const ArmRun& run, const std::vector<Artefact>& from) const override {
    auto table = o_.document();
    auto how = how_;
    table["stream"] = write_options(how), table["learner"] = o_.learner.json();
    for (const auto& source : from) table["sources"][source.arm] = start_checksum(source);
    return run_measured(table, run, [&](ArmResult& result) { trials(run, from, result); });
  }

  LeftNames leaves() const override {
    const auto names = stream_names(*make_task(o_), *make_learner(), how_);
    LeftNames left{names.metrics, names.curves, names.tables};
    left.metrics.push_back("false_alarm_trials");
    return left;
  }

  ResultTable shown() const override {
    using Shown = ResultColumn::Shown;
    ResultTable table;
    for (const auto& name : make_task(o_)->measures())
      table.columns.push_back({words(name) + (name == "accuracy" ? " %" : ""), name,
                               name == "accuracy" ? Shown::kPercent : Shown::kNumber, "{:.3f}"});
    for (const auto& name : make_learner()->reports())
      table.columns.push_back({words(name), name, Shown::kNumber, "{:.3g}"});
    if (how_.tasks)
      table.columns.insert(table.columns.end(),
                           {{"all tasks at the end %", "final_accuracy", Shown::kPercent},
                            {"forgotten %", "forgetting", Shown::kPercent}});
    table.columns.push_back({"alarms", "alarms"});
    table.columns.push_back({"delay in windows", "delay"});
    return table;
  }

 private:
  std::shared_ptr<Learner> make_learner() const { return make_chosen<Learner>(o_.learner, {}); }

  bool draws() const {
    const auto& fields = Registry::instance().info(Dataset::kKind, o_.data.name).options;
    return std::any_of(fields.begin(), fields.end(), [](const OptionInfo& f) { return f.name == "seed"; });
  }

  /// The arm's data with another seed for every seed of the arm and every trial, where data are drawn.
  TrainConfig of_trial(int64_t trial) const {
    TrainConfig config = o_;
    if (!draws()) return config;
    const auto seed = config.data.options.value("seed", int64_t{0});
    config.data.options["seed"] = seed + o_.seed * how_.trials + trial;
    return config;
  }

  static std::vector<TrainedModel> models(const std::vector<Artefact>& from, const TaskData& data) {
    std::vector<TrainedModel> out;
    for (const auto& source : from) out.push_back({source.arm, trained_model(source, data)});
    return out;
  }

  void trials(const ArmRun& run, const std::vector<Artefact>& from, ArmResult& result) const {
    std::optional<Progress> progress;
    std::map<std::string, double> count;
    double false_alarm = 0;
    for (int64_t trial = 0; trial < how_.trials; ++trial) {
      const auto config = of_trial(trial);
      const auto data = load_data(config);
      const auto task = make_task(config);
      const auto learner = make_learner();
      learner->begin({config, data, *task, models(from, data)});
      const auto tick = [&](int64_t done, int64_t total) {
        if (run.progress == nullptr) return;
        if (!progress) {
          auto options = progress_for(run.progress, run.now_s);
          options.label = o_.arm + " seed " + std::to_string(o_.seed), options.unit = "windows";
          progress.emplace(total * how_.trials, options, 0);
        }
        progress->update(trial * total + done);
      };
      const Rng rng = Rng(static_cast<uint64_t>(o_.seed)).fork("stream", static_cast<uint64_t>(trial));
      auto one = run_stream(data, *task, *learner, how_, rng, tick, run.stop);
      for (const auto& [name, value] : one.metrics) result.metrics[name] += value, count[name] += 1;
      false_alarm += one.metrics.at("false_alarms") > 0 ? 1 : 0;
      if (trial == 0) result.curves = std::move(one.curves), result.tables = std::move(one.tables);
    }
    for (auto& [name, sum] : result.metrics) sum /= count.at(name);
    result.metrics["false_alarm_trials"] = false_alarm / static_cast<double>(how_.trials);
  }

  Options o_;
  StreamOptions how_;
};

}  // namespace
}  // namespace gw::inline runs

GW_REGISTER(gw::Arm, gw::StreamArm);
