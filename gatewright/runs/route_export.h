#pragma once
// Routing as other programs read it: TensorBoard scalars and histograms, Prometheus text.
#include <map>
#include <string>
#include <vector>

#include "gatewright/routing/recorder.h"
#include "gatewright/runs/run_directory.h"

namespace gw::inline runs {

inline constexpr const char* kPrometheusFile = "routes.prom";
inline constexpr size_t kPrometheusLayers = 256;  ///< more layers share one set of series

/// One layer in one phase for an exposition: the window is what gauges speak of, the total what counters do.
struct LayerRoutes {
  std::string layer;
  RouteStats window, total;
  RoutePhase phase = RoutePhase::kTrain;
};

/// Prometheus text exposition, version 0.0.4: seven series per layer and phase whatever the number of
/// experts, dropped tokens always among them. All carry layer and phase; gauges also window = `window`:
/// "latest" (the batches since the file was last written) or "all". Layers of a phase beyond the first
/// kPrometheusLayers become one, layer="other", with the worst of their gauges and the sum of their counters.
std::string prometheus_text(const std::vector<LayerRoutes>& layers, const char* window);

/// Passes a run's routing on while it trains: for every layer scalars "routes/<layer>/<what>" at each step, a
/// histogram of the load at every tenth, and a Prometheus file for a collector of text files.
class RouteExporter {
 public:
  explicit RouteExporter(RunDirectory& directory) : directory_(directory) {}
  /// Training on clean data counts; evaluations do not.
  void add(const RouteSummary& summary);
  /// Replaces routes.prom; the next batch starts a new window. Does nothing before the first summary.
  void write();
  /// What a checkpoint keeps, so that a resumed run counts on: null before the first summary.
  Json state() const;
  /// Errors: ValueError for anything but what `state` gave.
  void go_on(const Json& state);

 private:
  RunDirectory& directory_;
  std::map<std::string, LayerRoutes> layers_;
  std::vector<std::string> order_;  ///< of appearance
  std::map<std::string, bool>
      written_;  ///< layers whose window has been told: it ends when the next batch comes
  int64_t written_step_ = 0;
};

}  // namespace gw::inline runs
