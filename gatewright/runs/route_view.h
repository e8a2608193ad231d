#pragma once
// What a recording says, summed up for people: for the terminal, the report and scripts.
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gatewright/routing/recorder.h"
#include "gatewright/routing/recording_reader.h"

namespace gw::inline runs {

using RouteTable = std::vector<std::vector<int64_t>>;

/// One slice of training time.
struct RouteBin {
  int64_t first_step = 0, last_step = 0;
  std::vector<int64_t> load;          ///< [E] rows of clean batches
  RouteTable label;                   ///< [E][C] rows by label; empty without labels
  int64_t compared = 0, flipped = 0;  ///< samples seen clean and attacked, and those whose experts differ
};

/// One layer that decides.
struct LayerView {
  std::string name;
  int64_t experts = 0;
  std::map<std::pair<RoutePhase, RoutePurpose>, RouteStats> stats;
  std::map<RoutePhase, std::pair<int64_t, int64_t>> flips;  ///< compared, flipped
  std::vector<RouteBin> bins;                               ///< of training, in order, at most kRouteBins
  std::map<std::pair<RoutePhase, RoutePurpose>, RouteTable>
      affinity;  ///< [E][C] rows by label; none without labels
  std::map<RoutePhase, RouteTable>
      together;  ///< [E][E] clean samples that both experts served; none where each has one expert
  std::map<RoutePhase, RouteTable>
      onward;  ///< [E][E'] clean samples that went on to an expert of the next layer
  std::map<int64_t, std::vector<int32_t>> sample;  ///< experts of test samples by position, clean

  /// The phase that speaks of the trained network: test, else validation, else training, else inference.
  RoutePhase shown_phase() const;
  /// Statistics of the shown phase on clean data.
  const RouteStats& shown() const { return stats.at({shown_phase(), RoutePurpose::kClean}); }
};

inline constexpr size_t kRouteBins = 48;

struct RouteView {
  Json about;
  RecordingEnd end;
  int64_t train_steps = 0, batches = 0;
  std::vector<LayerView> layers;
};

/// Adds up frame by frame; memory does not grow with the length of the run. Tables larger than a million
/// cells are left out.
class RouteTally {
 public:
  void frame(const RouteFrame& frame);
  void decision(const RouteSite& site, const RouteDecision& decision);
  /// Closes the last batch.
  RouteView finish();

 private:
  struct Seen {
    size_t layer;
    RoutePurpose purpose;
    int64_t k;
    std::vector<int32_t> slots;  ///< [T, k] ascending, −1 behind
  };
  void close();
  void count_labels(size_t layer, const RouteDecision& d);
  void count_pairs(LayerView& layer, const Seen& seen);
  void compare(const Seen& clean, const Seen& attacked);
  void count_onward(const Seen& from, const Seen& to);
  void remember(LayerView& layer, const Seen& seen);
  RouteBin* bin(size_t layer);

  RouteView view_;
  RouteFrame here_;
  bool open_ = false;
  int64_t classes_ = 0;
  std::vector<int64_t> labels_, index_;
  std::vector<Seen> seen_;
  std::vector<int64_t> width_;  ///< steps per bin, by layer; 0: no bins, there are too many experts
  int64_t binned_ = 0;          ///< experts of the layers with bins
};

/// The name of a label: from the recording's description, else "class 3".
std::string route_label(const RouteView& view, size_t label);

/// Reads a whole recording. Errors: as RecordingReader.
RouteView read_routes(const std::string& path);

/// Tallies live, without a file: checkpoints that are only looked at.
class TallyTap : public RouteTap {
 public:
  void begin(const RouteFrame& frame) override { tally_.frame(frame); }
  RoutingPlan decide(const RouteQuery& query) override;
  RouteView finish() { return tally_.finish(); }

 private:
  RouteTally tally_;
};

/// Samples of the test set that both views have, and how many of them some expert of the layer differs for.
struct RouteDifference {
  std::string layer;
  int64_t compared = 0, differ = 0;
};
/// Layer by layer, those that both have under the same name and with as many experts.
std::vector<RouteDifference> compare_routes(const RouteView& a, const RouteView& b);

Json to_json(const RouteView& view);

}  // namespace gw::inline runs
