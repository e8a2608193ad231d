#pragma once
#include <cstdint>
#include <vector>

#include "gatewright/routing/plan.h"

namespace gw::inline routing {

/// How rows fell on experts: counts that add up over batches, and the few numbers that say whether they fell
/// well.
struct RouteStats {
  int64_t tokens = 0, dropped = 0;  ///< dropped: tokens that no expert serves
  std::vector<int64_t> load;        ///< [E] rows

  void add(const RoutingPlan& plan);
  void add(const RouteStats& other);
  int64_t rows() const;
  /// Largest load over mean load: 1 when even, E when collapsed, 0 without rows.
  double max_over_mean() const;
  /// Standard deviation of the load over its mean: 0 when even, √(E−1) when collapsed.
  double variation() const;
  /// Entropy of the load over ln E: 1 when even, 0 when collapsed; 1 without rows and for E = 1.
  double entropy() const;
  /// Experts without a row.
  int64_t dead() const;
};

}  // namespace gw::inline routing
