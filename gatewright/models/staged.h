#pragma once
#include "gatewright/models/network.h"

namespace gw::inline models {

/// Beside Backbone: the same network in steps, for answers that may leave before the last.
class Staged {
 public:
  virtual ~Staged() = default;
  virtual int64_t stages() const = 0;
  /// Maps after stage `index` from those before it, of stage 0 from the images.
  virtual BucketedBatch stage(int64_t index, const BucketedBatch& x) = 0;
  /// Logits from the last maps.
  virtual at::Tensor finish(const BucketedBatch& maps) = 0;

 protected:
  at::Tensor all_stages(const BucketedBatch& images);
};

/// A dense image network stage by stage, in evaluation mode; it must outlive this.
class NetworkStages {
 public:
  /// Errors: ValueError for a network with experts, and for a backbone without stages.
  explicit NetworkStages(Network& network);
  int64_t count() const { return staged_->stages(); }
  /// Maps [B, C, H, W] after stage `index` from those before it (images for 0). Errors: ValueError for a
  /// stage that is not there.
  at::Tensor stage(int64_t index, const at::Tensor& maps) const;
  at::Tensor finish(const at::Tensor& maps) const;

 private:
  Staged* staged_;
};

}  // namespace gw::inline models
