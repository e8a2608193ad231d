#pragma once
#include <memory>
#include <string>

#include "gatewright/routing/recorder.h"
#include "gatewright/train/config.h"

namespace gw::inline train {

/// Files of a recorded run in its directory.
inline constexpr const char* kRoutesFile = "routes.bin";
inline constexpr const char* kRouteSummaryFile = "routes.jsonl";

/// The taps of a run; `tap` is null when it neither records nor replays.
struct RouteTaps {
  std::shared_ptr<RouteTap> tap;
  std::shared_ptr<RouteRecorder> recorder;  ///< null when nothing is recorded
};

/// How far the recording and its summary reach, for a checkpoint; null when nothing is recorded.
Json route_marks(const RouteTaps& taps);
/// Errors: ValueError if a file in `directory` no longer begins with what it held when `marks` were taken.
void check_routes(const std::string& directory, const Json& marks);

/// Opens the recording in `directory` (continued behind `step` if `resume`) and the recording to replay.
/// Errors: ValueError if the recording to replay is damaged or of another network; IoError.
RouteTaps open_routes(const TrainConfig& config, const Json& class_names, const std::string& directory,
                      bool resume, int64_t step);

}  // namespace gw::inline train
