#include "gatewright/runs/experiment_run.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>

#include "gatewright/likelihood/experiment.h"
#include "gatewright/runs/progress.h"
#include "gatewright/runs/run_data.h"
#include "gatewright/runs/run_directory.h"

namespace gw::inline runs {
namespace {

constexpr const char* kMetricsSummary = "metrics.json";

std::shared_ptr<likelihood::Experiment> make_experiment(const Json& table) {
  const auto choice = part_choice("recipe experiment", table.at("experiment"));
  return make_part<likelihood::Experiment>(choice.name, choice.options,
                                           {static_cast<uint64_t>(table.at("seed").get<int64_t>())});
}

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

std::optional<ArmResult> finished(const std::string& directory, const Json& table) {
  const auto path = directory + "/" + kMetricsSummary;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;
  const auto document = read_json(path);
  try {
    if (document.at("config") != table) return std::nullopt;
    return ArmResult{table.at("arm"), table.at("seed"),
                     document.at("metrics").get<std::map<std::string, double>>()};
  } catch (const Json::exception&) {
    fail(
        "run: expected \"config\" and \"metrics\" in {}, got something else; remove the directory to measure "
        "again",
        path);
  }
}

}  // namespace

bool is_experiment(const Json& table) { return table.contains("experiment"); }

void check_experiment(const Json& table) {
  for (const auto& item : table.items()) {
    const std::vector<std::string> known{"name", "arm", "seed", "experiment"};
    GW_CHECK(std::find(known.begin(), known.end(), item.key()) != known.end(),
             "recipe {}: unknown key \"{}\" beside \"experiment\"{}", table.value("name", ""), item.key(),
             near_miss(item.key(), known));
  }
  make_experiment(table);
}

ArmResult run_experiment_arm(const Json& table, const TrainingRun& run) {
  if (auto done = finished(run.directory, table)) return *done;
  const auto experiment = make_experiment(table);
  RunDirectory directory(
      run.directory, table,
      {.resume = run.resume, .tensorboard = false, .wall_time_s = run.wall_time_s, .may_differ = {}});
  note_origin(directory, run.about);
  likelihood::ExperimentRun trials;
  trials.threads = at::get_num_threads();
  std::optional<Progress> progress;
  if (run.stop != nullptr) trials.stop = [&] { return run.stop->load(); };
  trials.progress = [&](int64_t done, int64_t total) {
    if (run.progress == nullptr) return;
    if (!progress) {
      auto options = progress_for(run.progress, run.now_s);
      options.label = table.at("arm"), options.unit = "trials";
      progress.emplace(total, options, 0);
    }
    progress->update(done);
  };
  const auto result = likelihood::run_experiment(*experiment, trials);
  ArmResult arm{table.at("arm"), table.at("seed"), {}};
  for (const auto& [name, value] : result.metrics) {
    if (std::isfinite(value)) arm.metrics[name] = value;
  }
  directory.write_json(kRatesFile, curves_json(result));
  directory.write_json(kMetricsSummary, {{"config", table}, {"metrics", arm.metrics}});
  return arm;
}

}  // namespace gw::inline runs
