#pragma once
// The seam at which decisions are seen and replaced: recorders, replay, live statistics. The default does
// nothing.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>

#include "gatewright/base/rng.h"
#include "gatewright/routing/plan.h"

namespace gw::inline routing {

class Policy;

/// What a pass is for.
enum class RoutePurpose : uint8_t {
  kClean = 0,     ///< the data as they are
  kAttacked = 1,  ///< the same data after an attack
  kSearch = 2,    ///< inside the search for an attack: needed for replay, left out of statistics
};
enum class RoutePhase : uint8_t { kTrain = 0, kValidation = 1, kTest = 2, kInference = 3 };
const char* route_purpose_name(RoutePurpose purpose);
const char* route_phase_name(RoutePhase phase);

/// The batch that the decisions after it belong to.
struct RouteFrame {
  RoutePhase phase = RoutePhase::kInference;
  int64_t step = 0;  ///< training steps done when the batch is finished
  int64_t epoch = 0;
  int64_t batch = 0;  ///< within an evaluation; 0 while training
  at::Tensor labels;  ///< [B] int64 ≥ 0: class, domain or token class; may be undefined
  at::Tensor index;   ///< [B] int64 ≥ 0: position in the data set; may be undefined
};

/// One decision that is due.
struct RouteQuery {
  std::string site;  ///< which layer asks: "router", "stage2_1.conv1"
  RoutePurpose purpose = RoutePurpose::kClean;
  int64_t experts = 0;
  at::Tensor scores;                    ///< [T, E]
  std::function<RoutingPlan()> chosen;  ///< what the policy chooses
  std::function<RoutingPlan(const at::Tensor& expert)>
      given;          ///< the policy's weights for given experts [T, K]
  bool soft = false;  ///< experts get mixtures of tokens: there is no route to record or to force
};
/// The query of a policy without inputs beside the scores. The arguments must outlive the query.
RouteQuery policy_query(std::string site, RoutePurpose purpose, const Policy& policy,
                        const at::Tensor& scores, bool train, const Rng& rng);

/// Sees every decision of the network or the mixture that it is given to, and may replace it.
class RouteTap {
 public:
  virtual ~RouteTap() = default;
  /// Between `begin` and `end` decisions belong to one batch. Calls outside of a batch belong to inference.
  virtual void begin(const RouteFrame& /*frame*/) {}
  virtual void end() {}
  /// The plan to execute; by default the policy's own.
  virtual RoutingPlan decide(const RouteQuery& query) { return query.chosen(); }
};

}  // namespace gw::inline routing
