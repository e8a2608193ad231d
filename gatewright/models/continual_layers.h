#pragma once
// The layers of networks/continual: whole over windows, and as a chain of steps over streams.
#include <string>
#include <vector>

#include "gatewright/models/frame_steps.h"
#include "gatewright/models/mixture_blocks.h"
#include "gatewright/models/steps.h"

namespace gw::inline models {

struct ContinualOptions : OptionSet {
  int64_t width = 64, depth = 4, kernel = 3, growth = 2, window = 64, heads = 4;
  bool centred = false;
  std::string attention = "none";
  OptionTable mixture;
  void fields(OptionVisitor& v) override;
};

/// Steps one after the other: what one completes the next one takes.
class FrameChain {
 public:
  explicit FrameChain(std::vector<std::unique_ptr<FrameSteps>> layers) : layers_(std::move(layers)) {}
  at::Tensor step(const at::Tensor& frame) { return through(0, frame); }
  /// The next frame that waits behind the end, undefined when none does.
  at::Tensor finish();
  void reset();

 private:
  at::Tensor through(size_t first, at::Tensor frame);
  std::vector<std::unique_ptr<FrameSteps>> layers_;
};

class ContinualLayers : public torch::nn::Module {
 public:
  /// Errors: ValueError for an even kernel that is to be centred, and for what a mixture refuses.
  ContinualLayers(const ContinualOptions& options, const Rng& rng);
  /// [B, T, D] through convolutions and mixtures; plans are appended.
  at::Tensor blocks(at::Tensor x, const Pass& pass, std::vector<SitedPlan>& plans);
  /// And through the attention of each token, if there is one.
  at::Tensor attended(const at::Tensor& x) const;
  /// [B, T, D] → [B, D]: the last token behind the attention.
  at::Tensor last(const at::Tensor& x) const;
  /// All of it step by step, for evaluation.
  FrameChain steps();
  int64_t ahead() const;
  int64_t receptive_field() const;
  int64_t experts() const { return mixtures_ ? mixtures_->experts() : 1; }
  void end_step();

 private:
  ContinualOptions options_;
  std::vector<std::shared_ptr<RmsNorm>> norms_;
  std::vector<std::shared_ptr<TimeConv>> convolutions_;
  std::shared_ptr<MixtureBlocks> mixtures_;  // null: none
  std::shared_ptr<RmsNorm> attention_norm_;
  std::shared_ptr<TimeAttention> attention_;  // null: none
};

}  // namespace gw::inline models
