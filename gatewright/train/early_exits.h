#pragma once
// A trained model whose answers may leave before the last stage.
#include <functional>

#include "gatewright/base/stop.h"
#include "gatewright/models/staged_model.h"
#include "gatewright/train/optimizer.h"

namespace gw::inline train {

struct ExitOptions : OptionSet {
  std::vector<double> after;  ///< stages after which an exit stands; empty: all but the last
  int64_t warm_epochs = 8, epochs = 8, alternate = 200, batch = 64;
  double lr = 0.01;
  std::string weighting = "detached";
  void fields(OptionVisitor& v) override;
};

/// What all exits of some examples see: the network passes once, frozen.
struct ExitFeatures {
  std::vector<at::Tensor> pooled;  ///< of each exit, the means of its maps [n, C_l]
  at::Tensor final_logits, label;
};

/// Whether a row leaves at exit `exit`, [B] bool, by what the exits up to it said of it: `scores`
/// [B, exit + 1] of their gates, `logits` [B, C] of this one.
using ExitRule = std::function<at::Tensor(int64_t exit, const at::Tensor& scores, const at::Tensor& logits)>;

/// Exits on a frozen model: after a stage a linear classifier on the means of its maps or tokens, and a gate
/// on four statistics of what that says.
/// Math:   gate g_l = σ(a · s + b), s = (largest p, entropy in nats, difference of the two largest, entropy
///         of p² brought to 1) of the exit's p, without gradient through them. P_l = max(0, min(g_l, 1 −
///         Σ_{j<l} g_j)), the rest of the mass to the end; q_l = P_l / Π_{j<l}(1 − q_j); a row leaves at the
///         first q_l ≥ ½.
/// Source: Chataoui et al. 2024 (JEI-DNN), arXiv 2310.09163, after its published code; differs: exits read
///         means of convolutional maps and of tokens, no exit is frozen by itself before the others.
class EarlyExits : public torch::nn::Module {
 public:
  /// Errors: as stages_of, and ValueError for stages that are not there or do not ascend.
  EarlyExits(std::shared_ptr<Model> model, const ExitOptions& options, uint64_t seed);

  int64_t exits() const { return static_cast<int64_t>(after_.size()); }
  /// Multiply-adds up to each exit, those of the exits on the way included, and last of the whole, over those
  /// of the network without exits.
  const std::vector<double>& costs() const { return costs_; }

  /// Cost: one pass of the whole network over the set, in batches.
  ExitFeatures features(const TensorSet& set, const Tick& tick = {}) const;
  /// [n, C] of one exit.
  at::Tensor logits(int64_t exit, const at::Tensor& pooled) const;
  /// Gate scores [n, exits + 1] as policies/early_exit takes them; the last column is 0.
  at::Tensor scores(const ExitFeatures& features) const;

  /// The classifiers by Σ_l (L − l) · cross-entropy: earlier exits weigh more. Gates stay as they are.
  void train_heads(const ExitFeatures& features, const ExitOptions& options, const Rng& rng);
  /// Classifiers and gates in turns, `alternate` steps each:
  ///   classifiers by mean_i ρ_i Σ_l P_il CE_il, ρ_i = Σ_l CE_il / Σ_l P_il CE_il held constant ("detached");
  ///   with its gradient ("cancelling", as published) the weights cancel and every exit counts alike.
  ///   gates by binary cross-entropy with the targets 1 for l ≥ argmin_l (CE_il + price · cost_l), the end
  ///   among them; positives weighed by negatives over positives, at most 5.
  void train_jointly(const ExitFeatures& features, double price, const ExitOptions& options, const Rng& rng);

  struct Answer {
    at::Tensor logits, exit;  ///< [B, C]; [B] int64, exits() for the end
  };
  /// Runs stage by stage; rows that have left are computed no further. Errors: as the model's.
  Answer answer(const Batch& batch, const ExitRule& rule) const;
  /// The same decisions on features, for counting.
  Answer answer(const ExitFeatures& features, const ExitRule& rule) const;

 private:
  static std::vector<NamedParameter> named(const std::string& name, const std::vector<at::Tensor>& weights,
                                           const std::vector<at::Tensor>& biases);
  /// Cross-entropies [n, exits], without the end.
  at::Tensor losses(const ExitFeatures& features) const;
  /// What the gates learn, [n, exits] of 0 and 1.
  at::Tensor targets(const ExitFeatures& features, double price) const;
  at::Tensor gate_score(int64_t exit, const at::Tensor& logits) const;
  void count_costs();

  std::shared_ptr<Model> model_;
  std::shared_ptr<StagedModel> stages_;
  int64_t classes_ = 0;
  std::vector<int64_t> after_;
  std::vector<double> costs_;
  std::vector<at::Tensor> weight_, bias_, gate_, gate_bias_;
};

/// The published rule: q_l ≥ ½.
ExitRule gate_rule();
/// The largest probability is at least `threshold`, of one number for every exit or one for all.
ExitRule confidence_rule(std::vector<double> thresholds);

/// The least threshold of confidence_rule, one for all exits, for which the error among the rows that leave
/// early is at most `bound` with this confidence over the held-out rows: exact binomial tests down `grid`
/// (from strict to lax, not chosen by these rows), from where as many rows leave as two errorless tests need
/// to the first that does not reject; above 1, so that nothing leaves, where none rejects. Where the tests
/// begin depends on no label. Source: Angelopoulos et al. 2021, arXiv 2110.01052; the exits are ours.
double calibrated_threshold(const EarlyExits& exits, const ExitFeatures& held_out,
                            const std::vector<double>& grid, double bound, double confidence);

/// The mean distance of confidence and accuracy over ten bins of confidence, weighed by their rows.
double calibration_error(const at::Tensor& logits, const at::Tensor& label);

}  // namespace gw::inline train
