#pragma once
// Streams: sets whose rows have an order in time, and the windows in which they are met.
#include <vector>

#include "gatewright/base/rng.h"
#include "gatewright/data/batch.h"

namespace gw::inline data {

/// The rows of a set in the order of time. Errors: ValueError without the field "time" [n] float64, for a
/// time that is not finite, and for one that goes back: naming both rows, both times and the remedy.
void check_time_order(const TensorSet& set);

/// Rows at which the field "domain" changes: where a drift is known, or a task begins. Empty without it.
std::vector<int64_t> domain_changes(const TensorSet& set);

/// One window of a stream.
struct StreamWindow {
  at::Tensor index;     ///< [B] int64, rows of the set
  int64_t domain = -1;  ///< of its first row; −1: none is known
  int64_t pass = 0;     ///< how often its rows were met before
  bool last = false;    ///< the last of its task, after which the next begins
};

/// Windows of `size` rows in the order of time. `tasks`: the domains are tasks that come one after the
/// other; a window does not cross from one to the next, and the rows of each are met `passes` times, from
/// the second time on in an order that `rng` draws.
/// Errors: those of check_time_order; ValueError for passes without tasks, and for tasks without domains.
std::vector<StreamWindow> stream_windows(const TensorSet& set, int64_t size, bool tasks, int64_t passes,
                                         const Rng& rng);

/// The rows of a window as a batch. Cost: a copy of them.
Batch window_batch(const TensorSet& set, const StreamWindow& window);

}  // namespace gw::inline data
