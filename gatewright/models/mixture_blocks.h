#pragma once
// Residual blocks of norm and mixture over tokens, shared by the models that are made of them.

#include "gatewright/base/json.h"
#include "gatewright/mixture/mixture.h"
#include "gatewright/models/model.h"

namespace gw::inline models {

/// A token's vector over its root mean square, times a learned weight.
/// Math:   y = w ∘ x / sqrt(mean(x²) + 1e-6).
/// Source: Zhang and Sennrich 2019, arXiv 1910.07467.
class RmsNorm : public torch::nn::Module {
 public:
  explicit RmsNorm(int64_t width) : torch::nn::Module("RmsNorm") {
    weight_ = register_parameter("weight", at::ones({width}));
  }
  at::Tensor forward(const at::Tensor& x) const;
  /// The same of a frame [S, D] f32 or f64 without gradients, in one loop: for one token the six operations
  /// of forward() take longer than a product. Sums in f64, so bits may differ from forward()'s.
  at::Tensor of_frame(const at::Tensor& frame) const;

 private:
  at::Tensor weight_;
};

/// A stack of mixtures: x ← x + mixture(norm(x)), block by block; scores that a gate makes ahead go to the
/// next block.
class MixtureBlocks : public torch::nn::Module {
 public:
  struct Options {
    int64_t width = 64, depth = 2;
    Json mixture;                    ///< options of each gw::Mixture but "in", "out", "seed"
    std::vector<std::string> facts;  ///< fields of RouterInputs that the model can fill
    std::string precision;           ///< in which experts compute: "f32", "bf16"
    const char* part = "";           ///< for errors
    uint64_t seed = 0;
  };
  /// Errors: ValueError for options that a mixture refuses, a gate over images, parts that need a fact that
  ///         the model has not, and a bank that does not compute in the precision.
  explicit MixtureBlocks(const Options& options);
  /// Tokens [T, width] through block `index`; the plan is appended to `plans`, with the balance losses in it.
  at::Tensor forward(int64_t index, const at::Tensor& x, RouterInputs& inputs, const Pass& pass,
                     std::vector<SitedPlan>& plans);
  /// The same in evaluation for a frame [S, width], the next token of S streams: neither a plan is given nor
  /// the balance losses of one computed, which nobody reads there.
  at::Tensor step(int64_t index, const at::Tensor& frame);
  int64_t depth() const { return static_cast<int64_t>(mixtures_.size()); }
  int64_t experts() const { return experts_; }
  void end_step();

 private:
  std::vector<std::shared_ptr<RmsNorm>> norms_;
  std::vector<std::shared_ptr<Mixture>> mixtures_;
  int64_t experts_ = 0;
};

/// The option `precision` of models that are made of blocks.
void visit_precision(OptionVisitor& v, std::string& precision);

/// A model whose decisions are all made by its blocks.
class BlockModel : public Model {
 public:
  using Model::Model;
  void end_step() override { blocks_->end_step(); }
  bool routed() const override { return blocks_->experts() > 1; }

 protected:
  std::shared_ptr<MixtureBlocks> blocks_;
};

/// Matrix product with bias, U(−1/√in, 1/√in) weights.
class Linear : public torch::nn::Module {
 public:
  Linear(int64_t in, int64_t out, const Rng& rng);
  at::Tensor forward(const at::Tensor& x) const;
  /// The same of a frame [S, in] without gradients (frame_product).
  at::Tensor of_frame(const at::Tensor& frame) const;

 private:
  at::Tensor weight_, bias_;
};

}  // namespace gw::inline models
