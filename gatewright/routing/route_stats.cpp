#include "gatewright/routing/route_stats.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gatewright/base/check.h"
#include "gatewright/routing/load.h"

namespace gw::inline routing {

void RouteStats::add(const RoutingPlan& plan) {
  if (load.empty()) load.resize(static_cast<size_t>(plan.experts()), 0);
  GW_ENSURE(static_cast<int64_t>(load.size()) == plan.experts(), "route statistics: {} experts, then {}",
            load.size(), plan.experts());
  for (int64_t e = 0; e < plan.experts(); ++e) load[static_cast<size_t>(e)] += plan.rows_of(e);
  std::vector<bool> served(static_cast<size_t>(plan.tokens), false);
  const auto token = plan.token.contiguous();
  const int64_t* ids = token.data_ptr<int64_t>();
  int64_t count = 0;
  for (int64_t row = 0; row < plan.rows(); ++row) {
    count += served[static_cast<size_t>(ids[row])] ? 0 : 1;
    served[static_cast<size_t>(ids[row])] = true;
  }
  tokens += plan.tokens;
  dropped += plan.tokens - count;
}

void RouteStats::add(const RouteStats& other) {
  if (load.empty()) load.resize(other.load.size(), 0);
  GW_ENSURE(load.size() == other.load.size(), "route statistics: {} experts, then {}", load.size(),
            other.load.size());
  for (size_t e = 0; e < load.size(); ++e) load[e] += other.load[e];
  tokens += other.tokens;
  dropped += other.dropped;
}

int64_t RouteStats::rows() const { return std::accumulate(load.begin(), load.end(), int64_t{0}); }

double RouteStats::max_over_mean() const {
  const int64_t all = rows();
  if (all == 0) return 0;
  const auto most = static_cast<double>(*std::max_element(load.begin(), load.end()));
  return most * static_cast<double>(load.size()) / static_cast<double>(all);
}

double RouteStats::variation() const {
  const int64_t all = rows();
  if (all == 0) return 0;
  const double mean = static_cast<double>(all) / static_cast<double>(load.size());
  double squares = 0;
  for (const int64_t n : load) squares += (static_cast<double>(n) - mean) * (static_cast<double>(n) - mean);
  return std::sqrt(squares / static_cast<double>(load.size())) / mean;
}

double RouteStats::entropy() const { return load_entropy(load); }

int64_t RouteStats::dead() const { return std::count(load.begin(), load.end(), 0); }

}  // namespace gw::inline routing
