#include "gatewright/train/route_recording.h"

#include "gatewright/base/json.h"
#include "gatewright/routing/replayer.h"

namespace gw::inline train {

void RouteOptions::fields(OptionVisitor& v) {
  v.flag("record", record, "record every decision into routes.bin and routes.jsonl of the run directory");
  RecordingOptions::fields(v);
  v.text("replay", replay, "force the routes of this recording");
  v.text("replay_weights", replay_weights, "weights of replayed routes: by the policy, or as recorded",
         {"fresh", "recorded"});
}

Json route_marks(const RouteTaps& taps) {
  if (!taps.recorder) return nullptr;
  const auto [recording, summary] = taps.recorder->marks();
  Json marks{{kRoutesFile, to_json(recording)}};
  if (summary) marks[kRouteSummaryFile] = to_json(*summary);
  return marks;
}

void check_routes(const std::string& directory, const Json& marks) {
  for (const char* name : {kRoutesFile, kRouteSummaryFile}) {
    if (marks.is_object() && marks.contains(name))
      check_log(directory + "/" + name, log_mark(marks[name], name));
  }
}

RouteTaps open_routes(const TrainConfig& config, const Json& class_names, const std::string& directory,
                      bool resume, int64_t step) {
  const auto& options = *config.routes;
  const auto& network = config.network.json();
  RouteTaps taps;
  if (!options.replay.empty()) {
    ReplayOptions replay;
    replay.weights = options.replay_weights;
    const auto replayer = std::make_shared<RouteReplayer>(options.replay, replay);
    replayer->expect_network(network);
    taps.tap = replayer;
  }
  if (!options.record) return taps;
  const Json about{{"name", config.name},
                   {"arm", config.arm},
                   {"seed", config.seed},
                   {"network", network},
                   {"class_names", class_names}};
  const auto inner = taps.tap ? taps.tap : std::make_shared<RouteTap>();
  const RouteRecorder::Files files{directory + "/" + kRoutesFile, directory + "/" + kRouteSummaryFile};
  taps.recorder = resume ? RouteRecorder::resume(files, about, options, step, inner)
                         : std::make_shared<RouteRecorder>(files, about, options, inner);
  taps.tap = taps.recorder;
  return taps;
}

}  // namespace gw::inline train
