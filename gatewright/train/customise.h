#pragma once
// A trained classifier made somebody's own by a small expert beside it and a gate, without touching its
// weights.
#include <functional>
#include <memory>
#include <vector>

#include "gatewright/data/dataset.h"
#include "gatewright/models/model.h"

namespace gw::inline train {

/// What a classifier says of rows, and what its last linear layer reads.
struct Features {
  at::Tensor feature, logits;  ///< [n, D], [n, C]
  at::Tensor label;            ///< [n]
};
/// Shapes: a set of images or rows with labels, in batches of 256, evaluation mode, no gradients.
/// Errors: ValueError for a model whose last linear layer does not see every row once (one with experts of
///         its own): customise dense networks.
Features features_of(Model& model, const TensorSet& set, const std::function<bool()>& stop = {});

/// A perceptron of one hidden layer over standardised values, fitted with all examples at once.
/// Math:   y = W₂ relu(W₁ (x − m) / s + b₁) + b₂; without hidden values y = W₂ (x − m) / s + b₂. m and s are
///         those of the examples, and part of W₁ as it is stored.
class SmallPerceptron {
 public:
  struct Fit {
    int64_t hidden = 8, steps = 200;
    double lr = 0.01, decay = 0.01;  ///< of AdamW
  };
  /// Lowers the mean of loss(answer) over `steps` steps; `loss` maps [n, answers] to a number.
  SmallPerceptron(const at::Tensor& x, int64_t answers, const Fit& fit, const Rng& rng,
                  const std::function<at::Tensor(const at::Tensor& answer)>& loss);
  at::Tensor forward(const at::Tensor& x) const;  ///< [n, answers]
  int64_t parameters() const;
  int64_t macs() const;  ///< of one row

 private:
  at::Tensor run(const at::Tensor& z) const;
  at::Tensor mean_, scale_;
  std::vector<at::Tensor> weight_, bias_;
};

struct CustomiseOptions : OptionSet {
  int64_t hidden = 16, gate_hidden = 8, folds = 5, steps = 200;
  double lr = 0.01, decay = 0.05, emphasis = 3, drop = 0.005;
  void fields(OptionVisitor& v) override;
};

/// A local expert LE over the features of a global one, and a gate GN that says who answers.
/// Math:   LE: softmax(V₂ relu(V₁ φ)), fitted to the user's examples by cross-entropy, those that the global
///         expert gets wrong weigh `emphasis`. GN: a logistic perceptron of [φ; max p; H(p)], p the global
///         answer; target 1 where the global expert is wrong and LE right, 0 where the global one is right
///         and for examples of everybody; examples that both get wrong count in neither; both kinds weigh
///         alike. LE's answers for these targets come from `folds` parts, each by an LE that did not see it.
///         LE answers where GN ≥ θ: the least θ down to which it costs at most the share `drop` of right
///         answers among other examples of everybody.
/// Source: Zhang, Davoodi and Hu 2018, arXiv 1811.00056, reconstructed from its abstract: what the experts
///         read, the targets, folds and threshold are ours.
class Customised {
 public:
  /// `own`: the user's examples; `gate`, `threshold`: disjoint examples of everybody.
  /// Errors: ValueError for fewer examples than folds and for none of everybody.
  Customised(const Features& own, const Features& gate, const Features& threshold,
             const CustomiseOptions& options, const Rng& rng);
  at::Tensor local(const Features& f) const;   ///< LE's classes [n]
  at::Tensor handed(const Features& f) const;  ///< [n] bool: LE answers
  at::Tensor answers(const Features& f) const;
  int64_t parameters() const { return local_->parameters() + (gate_ ? gate_->parameters() : 0); }
  int64_t local_parameters() const { return local_->parameters(); }
  int64_t gate_macs() const { return gate_ ? gate_->macs() : 0; }
  int64_t local_macs() const { return local_->macs(); }
  double threshold() const { return threshold_; }

 private:
  SmallPerceptron fit_local(const Features& own, const at::Tensor& rows, const CustomiseOptions& options,
                            const Rng& rng) const;
  void fit_gate(const Features& own, const at::Tensor& local, const Features& everybody,
                const CustomiseOptions& options, const Rng& rng);
  void set_threshold(const Features& everybody, double drop);
  at::Tensor sure(const Features& f) const;  ///< GN's score [n], before the sigmoid

  std::shared_ptr<SmallPerceptron> local_,
      gate_;  ///< no gate: the user has no example that it could learn from
  double threshold_ = 0;
};

}  // namespace gw::inline train
