#include "gatewright/runs/measured_arm.h"

#include <algorithm>

namespace gw::inline runs {

namespace {

TrainConfig config_of(const Artefact& source) {
  return read_config("run " + source.directory, read_json(source.directory + "/" + kRecipeFile));
}

void load_best(const Artefact& source, Model& model) {
  const auto path = source.directory + "/" + kBestCheckpoint;
  load_model(model, load_checkpoint(path), path);
  model.eval();
}

}  // namespace

bool leaves_metric(const Arm& arm, const std::string& metric) {
  const auto left = arm.leaves().metrics;
  return std::find(left.begin(), left.end(), metric) != left.end();
}

bool trains(const Arm& arm) { return leaves_metric(arm, "parameters"); }

bool trains_classes(const Arm& arm) {
  return trains(arm) && (leaves_metric(arm, "accuracy") || leaves_metric(arm, "clean_accuracy"));
}

std::unique_ptr<Trainer> open_trained(const Artefact& source) {
  auto trained = std::make_unique<Trainer>(config_of(source));
  load_best(source, trained->model());
  return trained;
}

std::shared_ptr<Model> trained_model(const Artefact& source, const TaskData& data) {
  const auto config = config_of(source);
  auto model = make_model(config, data, *make_task(config));
  load_best(source, *model);
  return model;
}

std::string start_checksum(const Artefact& source) {
  return checkpoint_checksum(load_checkpoint(source.directory + "/" + kBestCheckpoint));
}

Json measured_table(const TrainConfig& config, const std::string& kind, OptionSet& options) {
  return {{"name", config.name}, {"arm", config.arm}, {"seed", config.seed}, {kind, write_options(options)}};
}

ArmResult run_measured(const Json& table, const ArmRun& run, const std::function<void(ArmResult&)>& measure) {
  ArmResult result{table.at("arm").get<std::string>(), table.at("seed").get<int64_t>(), {}};
  if (auto done = finished_metrics(run.directory, table)) {
    auto left = read_results(run.directory);
    result.metrics = std::move(*done), result.curves = std::move(left.curves),
    result.tables = std::move(left.tables);
    return result;
  }
  RunDirectory directory(
      run.directory, table,
      {.resume = run.resume, .tensorboard = false, .wall_time_s = run.wall_time_s, .may_differ = {}});
  note_origin(directory, run.about);
  measure(result);
  directory.write_json(kResultsFile, to_json(Results{result.curves, result.tables}));
  directory.write_json(kSummaryFile, {{"config", table}, {"metrics", result.metrics}});
  return result;
}

Tick stopping(const ArmRun& run, const std::string& doing) {
  return [stop = run.stop, doing](int64_t, int64_t) {
    if (stop.requested()) throw Interrupted("interrupted while " + doing + "; nothing is kept of this arm");
  };
}

}  // namespace gw::inline runs
