#pragma once
#include <mutex>

#include "gatewright/routing/recording_reader.h"

namespace gw::inline routing {

struct ReplayOptions : OptionSet {
  std::string weights = "fresh";
  void fields(OptionVisitor& v) override;
};

/// Forces recorded routes: the experts come from the recording, whatever the scores say.
/// Weights: "fresh": the policy weighs the given experts with the present scores, and gradients reach the
/// gate as usual;
///          "recorded": the recorded weights, constants.
/// Errors: ValueError when the present run asks for something else than what was recorded: another batch,
///         other samples, another layer, another number of tokens or experts, more decisions or fewer.
class RouteReplayer : public RouteTap {
 public:
  /// Errors: as RecordingReader.
  RouteReplayer(const std::string& path, const ReplayOptions& options);

  /// Compares the network that was recorded with the present one. Errors: ValueError naming the first value
  /// that differs.
  void expect_network(const Json& network) const;

  void begin(const RouteFrame& frame) override;
  void end() override;
  RoutingPlan decide(const RouteQuery& query) override;

 private:
  void check_samples(const RouteFrame& frame) const;
  void check_decision(const RouteQuery& query) const;
  std::string place() const;

  RecordingReader reader_;
  bool recorded_weights_;
  std::mutex mutex_;
  RouteFrame here_;
  bool in_frame_ = false;
  int64_t decisions_ = 0;  ///< of this batch, so far
};

}  // namespace gw::inline routing
