#pragma once
// Routing of a run, a recording or a checkpoint, as tables for the terminal.
#include "gatewright/runs/route_view.h"
#include "gatewright/train/robust/evaluate.h"

namespace gw::inline report {

struct InspectOptions {
  int64_t images = 0;                ///< of the test set, for checkpoints; 0: all
  std::vector<std::string> attacks;  ///< run on checkpoints, for flips; the first one counts
};

/// A recording (or a run directory that has one) is read; a checkpoint (or a run directory without a
/// recording) routes the test images of its own data. Errors: ValueError for a path that is none of these;
/// IoError.
RouteView inspect_routes(const std::string& path, const InspectOptions& options, const Tick& tick = {});

using TextRows =
    std::vector<std::vector<std::string>>;  ///< the first row is the head; '>' marks columns to align right
TextRows statistics_rows(const RouteView& view);
/// Share of each label that an expert of this layer serves, in per cent; empty without labels.
TextRows affinity_rows(const RouteView& view, const LayerView& layer);
TextRows difference_rows(const std::vector<RouteDifference>& differences);
/// One line: where the routes come from, and whether the recording is whole.
std::string routes_origin(const RouteView& view);
/// All layers as Prometheus text, phase by phase, over all clean batches: the counters of training are those
/// of the run's routes.prom.
std::string prometheus_text(const RouteView& view);

}  // namespace gw::inline report
