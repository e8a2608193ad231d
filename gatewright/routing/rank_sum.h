#pragma once
// The seam at which a batch that is spread over ranks becomes one batch for whoever counts.
#include <ATen/core/Tensor.h>

namespace gw::inline routing {

/// Sums over the ranks that hold parts of one batch; the default is a single rank. Calls are collective:
/// every rank makes the same calls in the same order, with tensors of the same shape, also a rank without
/// tokens.
class RankSum {
 public:
  virtual ~RankSum() = default;
  /// The sum of every rank's `local`, without gradient.
  virtual at::Tensor sum(const at::Tensor& local) const { return local; }
  /// The largest of every rank's number.
  virtual int64_t largest(int64_t local) const { return local; }
};

}  // namespace gw::inline routing
