#pragma once
// Models that may be left before their last stage.
#include <memory>

#include "gatewright/models/model.h"

namespace gw::inline models {

/// Rows on their way through the stages of a model.
struct StageRows {
  at::Tensor x;    ///< maps [B, C, H, W], or values of tokens [B, T, D]
  TensorSet told;  ///< fields of these rows that later stages read
  /// Those at places `which` [n] int64, laid out in memory as they are here.
  StageRows at(const at::Tensor& which) const;
  int64_t size() const { return x.size(0); }
};

/// A model with one answer for each row, stage by stage, in evaluation mode. Models of tokens are one
/// themselves, of images see below.
class StagedModel {
 public:
  virtual ~StagedModel() = default;
  virtual int64_t stages() const = 0;
  /// What stage 0 reads.
  virtual StageRows begin(const Batch& batch) = 0;
  virtual StageRows stage(int64_t index, const StageRows& rows) = 0;
  /// Answers [B, width] from what the last stage left.
  virtual at::Tensor finish(const StageRows& rows) = 0;
  /// [B, C]: what a linear exit behind any stage reads, means over places or tokens.
  virtual at::Tensor means(const StageRows& rows) = 0;
};

/// The stages of a dense image network (gatewright/models/staged.h), or of a model that has its own.
/// Errors: ValueError for one that has none, for a network with experts, and for an answer for each token.
std::shared_ptr<StagedModel> stages_of(const std::shared_ptr<Model>& model);

}  // namespace gw::inline models
