#include "gatewright/report/inspect.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include "gatewright/base/check.h"
#include "gatewright/base/json.h"
#include "gatewright/runs/route_export.h"
#include "gatewright/train/checkpoint.h"
#include "gatewright/train/robust/threat_model.h"
#include "gatewright/train/trainer.h"

namespace gw::inline report {
namespace {

namespace fs = std::filesystem;

bool is_recording(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char magic[8] = {};
  file.read(magic, sizeof(magic));
  return file.gcount() == sizeof(magic) && std::string_view(magic, sizeof(magic)) == kRecordingMagic;
}

/// The config with the attacks and examples that are asked for in place of the run's own.
TrainConfig asked_for(TrainConfig config, const InspectOptions& options) {
  auto evaluation = config.evaluation.json();
  evaluation["attacks"] = options.attacks, evaluation["images"] = options.images;
  config.evaluation = evaluation;
  return config;
}

/// The test examples as the task measures them: images under the attacks, where it knows any.
void pass_test_set(Model& model, const TaskData& data, const Task& task, const TrainConfig& config,
                   const InspectOptions& options, const Tick& tick, RouteTap& tap) {
  GW_CHECK(options.attacks.empty() || dynamic_cast<const AttackedTask*>(&task) != nullptr,
           "inspect: expected no attacks on a model whose task knows none, got {}; leave them out",
           options.attacks.front());
  const Rng rng = Rng(static_cast<uint64_t>(config.seed)).fork("test");
  const auto set = data.test.first(options.images);
  task.test({model, set, rng, test_frame(), tick, &tap});
}

RouteView route_test_set(const std::string& path, const InspectOptions& options, const Tick& tick) {
  const auto file = load_checkpoint(path);
  const auto config = asked_for(read_config("checkpoint " + path, checkpoint_config(file, path)), options);
  const auto data = load_data(config);
  const auto task = make_task(config);
  const auto model = make_model(config, data, *task);
  load_model(*model, file, path);
  GW_CHECK(model->routed(),
           "inspect: expected a model that routes, got a dense one in {}; there is nothing to see", path);
  TallyTap tap;
  pass_test_set(*model, data, *task, config, options, tick, tap);
  auto view = tap.finish();
  view.about = {{"name", config.name},
                {"arm", config.arm},
                {"seed", config.seed},
                {"network", config.network.json()},
                {"class_names", data.class_names},
                {"checkpoint", path}};
  return view;
}

std::string percent(int64_t part, int64_t whole) {
  return whole > 0 ? fmt::format("{:.1f}", 100.0 * static_cast<double>(part) / static_cast<double>(whole))
                   : "–";
}

}  // namespace

RouteView inspect_routes(const std::string& path, const InspectOptions& options, const Tick& tick) {
  std::error_code error;
  std::string file = path;
  if (fs::is_directory(path, error)) {
    const std::string recording = path + "/" + kRoutesFile, checkpoint = path + "/" + kBestCheckpoint;
    file = fs::exists(recording, error) && options.attacks.empty() && options.images == 0 ? recording
                                                                                          : checkpoint;
    GW_CHECK(
        fs::exists(file, error),
        "inspect: expected {} or {} in {}, got neither; give a run directory, a recording or a checkpoint",
        kRoutesFile, kBestCheckpoint, path);
  }
  return is_recording(file) ? read_routes(file) : route_test_set(file, options, tick);
}

TextRows statistics_rows(const RouteView& view) {
  TextRows rows{{"layer", "data", ">experts", ">tokens", ">max/mean", ">variation", ">entropy", ">dead",
                 ">dropped", ">flips %"}};
  for (const auto& layer : view.layers) {
    for (const auto& [key, s] : layer.stats) {
      const auto flips = layer.flips.find(key.first);
      const bool compared = key.second == RoutePurpose::kAttacked && flips != layer.flips.end();
      rows.push_back(
          {layer.name, fmt::format("{}, {}", route_phase_name(key.first), route_purpose_name(key.second)),
           fmt::format("{}", layer.experts), fmt::format("{}", s.tokens),
           fmt::format("{:.3f}", s.max_over_mean()), fmt::format("{:.3f}", s.variation()),
           fmt::format("{:.3f}", s.entropy()), fmt::format("{}", s.dead()), fmt::format("{}", s.dropped),
           compared ? percent(flips->second.second, flips->second.first) : ""});
    }
  }
  return rows;
}

TextRows affinity_rows(const RouteView& view, const LayerView& layer) {
  const auto found = layer.affinity.find({layer.shown_phase(), RoutePurpose::kClean});
  if (found == layer.affinity.end() || found->second.empty() || found->second[0].empty()) return {};
  const auto& table = found->second;
  TextRows rows{{fmt::format("{}, % of", layer.name)}};
  for (size_t e = 0; e < table.size(); ++e) rows[0].push_back(fmt::format(">E{}", e));
  for (size_t c = 0; c < table[0].size(); ++c) {
    int64_t all = 0;
    for (const auto& row : table) all += row[c];
    rows.push_back({route_label(view, c)});
    for (const auto& row : table) rows.back().push_back(percent(row[c], all));
  }
  return rows;
}

TextRows difference_rows(const std::vector<RouteDifference>& differences) {
  TextRows rows{{"layer", ">compared", ">differ", ">differ %"}};
  for (const auto& d : differences)
    rows.push_back(
        {d.layer, fmt::format("{}", d.compared), fmt::format("{}", d.differ), percent(d.differ, d.compared)});
  return rows;
}

std::string routes_origin(const RouteView& view) {
  const auto told = [&](const char* key) {
    return view.about.contains(key) && view.about[key].is_string() ? view.about[key].get<std::string>()
                                                                   : std::string();
  };
  std::string text = !told("arm").empty() ? told("arm") : !told("name").empty() ? told("name") : "routes";
  if (view.about.contains("seed")) text += fmt::format(", seed {}", view.about["seed"].dump().substr(0, 20));
  if (!told("checkpoint").empty())
    return text + fmt::format(": test examples through {}", told("checkpoint"));
  text += fmt::format(": {} training steps, {} batches in all", view.train_steps, view.batches);
  if (view.end.kind == RecordingEnd::Kind::kWhole) return text;
  return text + fmt::format("; the recording is {} after {} bytes, {} bytes are lost",
                            view.end.kind == RecordingEnd::Kind::kCut ? "cut" : "damaged",
                            view.end.good_bytes, view.end.lost_bytes);
}

std::string prometheus_text(const RouteView& view) {
  std::vector<LayerRoutes> layers;
  for (const auto& layer : view.layers) {
    for (const auto& [key, stats] : layer.stats) {
      if (key.second == RoutePurpose::kClean) layers.push_back({layer.name, stats, stats, key.first});
    }
  }
  return prometheus_text(layers, "all");
}

}  // namespace gw::inline report
