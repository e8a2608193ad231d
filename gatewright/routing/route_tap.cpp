#include "gatewright/routing/route_tap.h"

#include "gatewright/routing/policy.h"

namespace gw::inline routing {

const char* route_purpose_name(RoutePurpose purpose) {
  static constexpr const char* kNames[] = {"clean", "attacked", "search"};
  return kNames[static_cast<size_t>(purpose)];
}

const char* route_phase_name(RoutePhase phase) {
  static constexpr const char* kNames[] = {"train", "validation", "test", "inference"};
  return kNames[static_cast<size_t>(phase)];
}

RouteQuery policy_query(std::string site, RoutePurpose purpose, const Policy& policy,
                        const at::Tensor& scores, bool train, const Rng& rng) {
  RouteQuery query;
  query.site = std::move(site), query.purpose = purpose, query.experts = policy.experts(),
  query.scores = scores;
  query.chosen = [&policy, &scores, train, &rng] { return policy.plan(scores, train, rng); };
  query.given = [&policy, &scores, train, &rng](const at::Tensor& expert) {
    return policy.plan_given(scores, expert, train, rng);
  };
  return query;
}

}  // namespace gw::inline routing
