#pragma once
// Experts that are trained where the data are: what a client does in a round, and what becomes of what it
// sends.
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gatewright/data/users.h"
#include "gatewright/train/customise.h"
#include "gatewright/train/robust_mean.h"

namespace gw::inline train {

struct FederatedOptions : OptionSet {
  std::string method = "fedjets", start = "common";
  int64_t experts = 5, k = 2, rounds = 40, per_round = 10, epochs = 2, batch = 32, gate_hidden = 32;
  bool anchors = true, gate_learns = true;
  double lr = 0.05, anchor_share = 0.4, anchor_weight = 1, absurd = 10;
  RobustRule rule;
  Nested<UserOptions> clients;
  void fields(OptionVisitor& v) override;
  bool gated() const { return method == "fedjets"; }
  /// With one model for all there is one expert, which everybody trains.
  int64_t expert_count() const { return gated() ? experts : 1; }
  int64_t chosen() const { return gated() ? k : 1; }
};

/// What the server holds: weights of each expert [P], and of the gate [G] (nothing without one).
struct FederatedWeights {
  std::vector<at::Tensor> expert;
  at::Tensor gate;
};

/// What a client sends: the experts that it trained, the gate, and how many examples it has.
struct ClientUpdate {
  int64_t client = 0, samples = 0;
  std::vector<int64_t> chosen;
  std::vector<at::Tensor> expert;  ///< [P] for each of the chosen
  at::Tensor gate;
};

/// All parameters of a model as one vector, and back. Errors: ValueError for a vector of another length, and
/// for a model that keeps statistics of batches, whose averages over clients mean nothing.
at::Tensor flat_weights(const Model& model);
void set_flat_weights(Model& model, const at::Tensor& weights);

/// A gate over features of a frozen network, its weights one vector.
/// Math:   s = W₂ relu(W₁ φ / rms(φ) + b₁) + b₂.
struct FederatedGate {
  int64_t features = 0, hidden = 0, experts = 0;
  int64_t size() const { return hidden * (features + 1) + experts * (hidden + 1); }
  at::Tensor drawn(const Rng& rng) const;                                         ///< [G]
  at::Tensor logits(const at::Tensor& weights, const at::Tensor& feature) const;  ///< [n, experts]
};

/// Experts of a client: the `k` of largest mean probability of its examples; an anchor's own is always one.
/// Shapes: logits [n, M] → ascending. No label is looked at.
std::vector<int64_t> choose_experts(const at::Tensor& logits, int64_t k, int64_t anchor_of = -1);

/// The rounds of one client.
/// Math:   over the chosen S with p the gate's softmax on S alone: the loss CE(Σ_{e∈S} p_e f_e(x), y), for
/// the
///         anchor of expert m plus anchor_weight · CE(s, m); `epochs` passes of SGD over experts and gate.
/// Source: FedJETs (Dun et al. 2023), arXiv 2306.08586, reconstructed from its abstract and reviews: loss,
///         selection and aggregation are ours, and experts start as the common one where they are alike.
class LocalTraining {
 public:
  /// `make` makes an expert; `common` is frozen. Both must be of this thread alone.
  LocalTraining(std::function<std::shared_ptr<Model>()> make, std::shared_ptr<Model> common,
                const FederatedOptions& options, uint64_t seed);
  /// The gate's scores of a client's own examples, then a round with the weights of `chosen`.
  at::Tensor gate_logits(int64_t client, const TensorSet& own, const at::Tensor& gate);
  /// Errors: NumericError where the loss is not finite.
  ClientUpdate learn(int64_t client, int64_t round, const TensorSet& own, const std::vector<int64_t>& chosen,
                     const std::vector<at::Tensor>& expert, const at::Tensor& gate, int64_t anchor_of);
  const FederatedGate& gate() const { return gate_; }
  int64_t expert_size() const { return expert_size_; }

 private:
  const Features& features(int64_t client, const TensorSet& own);
  at::Tensor loss(const Batch& batch, const at::Tensor& feature, const std::vector<int64_t>& chosen,
                  const at::Tensor& gate, int64_t anchor_of);

  std::function<std::shared_ptr<Model>()> make_;
  std::shared_ptr<Model> common_;
  FederatedOptions options_;
  uint64_t seed_;
  FederatedGate gate_;
  int64_t expert_size_ = 0;
  std::vector<std::shared_ptr<Model>> experts_;
  std::map<int64_t, Features> features_;  ///< of clients that were here before
};

/// Why an update cannot be used, "" where it can: experts that were not asked for, another number of weights,
/// numbers that are not finite, more examples than a client may have.
std::string update_problem(const ClientUpdate& update, const FederatedWeights& now, int64_t k,
                           int64_t most_samples);
/// Places of updates that went `absurd` times as far from the weights as the median of all; three at least
/// are needed to tell.
std::vector<size_t> absurd_updates(const std::vector<ClientUpdate>& updates, const FederatedWeights& now,
                                   double absurd);
/// Every expert becomes the mean of what those sent who trained it, weighed by their examples, and stays as
/// it is where nobody did; the gate becomes the mean of all. Under another rule than "mean" it is
/// robust_mean; the limit of "clipped" is taken over the steps of all experts, since few clients train the
/// same one, and for the gate over those of the gate. Errors: none for updates without a problem.
void aggregate(const std::vector<ClientUpdate>& updates, FederatedWeights& weights,
               const RobustRule& rule = {});

}  // namespace gw::inline train
