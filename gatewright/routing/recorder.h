#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "gatewright/base/append.h"
#include "gatewright/base/json.h"
#include "gatewright/routing/recording.h"
#include "gatewright/routing/route_stats.h"

namespace gw::inline routing {

/// What one layer did with one batch.
struct RouteSummary {
  RoutePhase phase = RoutePhase::kInference;
  int64_t step = 0, epoch = 0, batch = 0;
  std::string site;
  RoutePurpose purpose = RoutePurpose::kClean;
  RouteStats stats;
};
/// {"step", "epoch", "phase", "batch", "site", "purpose", "tokens", "rows", "dropped", "max_over_mean",
/// "variation", "entropy", "dead", "load": rows by expert, left out above 256 experts}
Json to_json(const RouteSummary& summary);

/// Appends every decision to a recording and, batch by batch, a line for every layer to a JSONL summary. Each
/// batch is one write to each file: a killed process loses at most the batch that it was at. Threads may
/// share a recorder; replay needs their order, though.
class RouteRecorder : public RouteTap {
 public:
  struct Files {
    std::string recording, summary;  ///< no summary when empty
  };
  /// Starts new files. `about` describes the run and ends up in the header. `inner` decides: replay, or by
  /// default the policies.
  /// Errors: IoError if a file cannot be written.
  RouteRecorder(Files files, const Json& about, RecordingOptions options,
                std::shared_ptr<RouteTap> inner = std::make_shared<RouteTap>());
  /// Goes on after `step`, as if what came later had never been recorded; starts anew where there is no
  /// recording.
  static std::shared_ptr<RouteRecorder> resume(
      Files files, const Json& about, RecordingOptions options, int64_t step,
      std::shared_ptr<RouteTap> inner = std::make_shared<RouteTap>());
  /// Writes what is left; an error then is lost: call `flush` to hear of it.
  ~RouteRecorder() override;
  RouteRecorder(const RouteRecorder&) = delete;
  RouteRecorder& operator=(const RouteRecorder&) = delete;

  void begin(const RouteFrame& frame) override;
  void end() override;
  RoutingPlan decide(const RouteQuery& query) override;
  /// Errors: IoError (a full disk, for one).
  void flush();
  /// How far the files reach, all batches written: the recording's mark and the summary's, none without one.
  std::pair<LogMark, std::optional<LogMark>> marks();
  /// Called at the end of every batch, for each layer and purpose but the searches for attacks.
  void listen(std::function<void(const RouteSummary&)> listener) { listener_ = std::move(listener); }

 private:
  RouteRecorder(Files files, RecordingOptions options, std::shared_ptr<RouteTap> inner,
                std::vector<RouteSite> sites);
  void open_files();
  void begin_locked(const RouteFrame& frame);
  void summarise();
  void flush_locked();
  int64_t site_number(const std::string& name, int64_t experts);

  Files files_;
  RecordingOptions options_;
  std::shared_ptr<RouteTap> inner_;
  std::function<void(const RouteSummary&)> listener_;
  std::mutex mutex_;
  std::optional<LogFile> recording_, summary_;
  std::vector<RouteSite> sites_;
  std::string pending_, pending_lines_;
  bool in_frame_ = false;
  RouteSummary here_;
  std::map<std::pair<int64_t, RoutePurpose>, RouteStats> stats_;  ///< of the batch, by site
};

}  // namespace gw::inline routing
