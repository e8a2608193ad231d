#pragma once
// What policies in which every token chooses its experts have in common: noise, selection bias,
// renormalisation, scaling, capacity, masking. A part derives from TokenChoice and says which experts, with
// which weights.
#include "gatewright/ops/top_k.h"
#include "gatewright/routing/policy.h"

namespace gw::inline routing {

/// The options that all token-choice policies share; a part's Options derive from this and set the paper's
/// defaults.
struct ChoiceOptions : OptionSet {
  double jitter = 0;         ///< score · U(1−j, 1+j) while training
  double noise = 0;          ///< score + N(0, (noise/E)²) while training
  bool renormalise = false;  ///< weights of a token sum to one
  std::string renormalise_when = "before_drop";
  double scale = 1;             ///< of the weights, after everything else
  bool selection_bias = false;  ///< a bias per expert, in the choice only; for balancers/bias_update
  double capacity_factor = 0;   ///< C = ceil(T·K·factor/E), at least 1; 0: no limit
  double evaluation_capacity_factor = 0;  ///< the same in evaluation
  int64_t capacity = 0;                   ///< C itself, whatever T; 0: from the factors
  int64_t capacity_multiple = 1;          ///< C is rounded up to a multiple (padding)
  std::string drop_order = "position";
  std::string overflow = "drop";
  int64_t local_groups = 1;    ///< parts of the batch, each with its own room (GShard)
  std::string room = "batch";  ///< who shares it: the batch (or its local groups), or each sequence by itself
  double expert_masking = 0;  ///< share of rows masked while training; weights · (1 − share) in evaluation
  void fields(OptionVisitor& v) override;
};

/// What a part decides: experts in order of preference, the table its weights come from, and what balancers
/// may need.
struct Choice {
  at::Tensor expert;  ///< [T, K] int64, −1: no expert
  at::Tensor table;   ///< [T, E] weights before renormalisation; carries the gradient
  at::Tensor logits;  ///< [T, E] renormalised weights are their softmax over the chosen; undefined: table
                      ///< over its sum
  at::Tensor
      pair;  ///< [T, K] experts that the part's own weights are relative to, for parts that override weigh()
  at::Tensor ranking;      ///< [T, E] preference, for the choice and overflow; undefined: the table
  at::Tensor scores;       ///< [T, E] what balancers see; undefined: the scores given
  at::Tensor probability;  ///< [T, E] normalised; undefined: softmax of the scores
  std::map<std::string, at::Tensor> aux;  ///< losses that belong to the policy
  at::Tensor clean, deviation;            ///< [T, E] scores before noise of that size; undefined: no noise
};

class TokenChoice : public Policy {
 public:
  RoutingPlan plan(const at::Tensor& scores, bool train, const Rng& rng) const final {
    return decided(scores, {}, train, rng, {});
  }
  /// Knows the sequences, which `room` asks for.
  RoutingPlan plan_for(const at::Tensor& scores, const RouterInputs& inputs, bool train) const final {
    return decided(scores, {}, train, inputs.rng.value_or(Rng(0)), inputs.sequence);
  }
  RoutingPlan plan_given(const at::Tensor& scores, const at::Tensor& expert, bool train,
                         const Rng& rng) const final {
    return decided(scores, expert, train, rng, {});
  }
  int64_t experts() const final { return experts_; }
  PolicyTraits traits() const override;
  NamedTensors state() const override;

 protected:
  /// `k`: the most experts that a token may have, by the option k or, with `fixed`, by definition. The shared
  /// options are copied: a part's own members do not exist yet.
  TokenChoice(const char* part, const PolicyTraits& traits, const ChoiceOptions& options, int64_t experts,
              int64_t k, bool fixed = false);
  /// Scores come checked, with noise and jitter applied. The stream is the part's own.
  virtual Choice choose(const at::Tensor& scores, bool train, const Rng& rng) const = 0;
  /// The score function with which ops::top_k chooses and weighs as this part does where nothing but k,
  /// renormalise and scale acts; evaluation then takes that one pass. Null: it does not.
  virtual const char* score_function() const { return nullptr; }
  /// Whether some tokens get fewer than k experts: `thin` then empties slots of that pass (−1) and weighs
  /// what stays; `chosen` comes in f32 with the values of the score function, and without gradients.
  virtual bool thins() const { return false; }
  virtual void thin(ops::TopK& /*chosen*/) const {}
  /// Weights of the `kept` experts [T, K] before options act (−1: 0). Parts whose weights are relative to the
  /// chosen ones form them here, from those: over all experts a chosen one that a bias, overflow or replay
  /// put 104 below the best has 0 in f32. A weight that is a probability over all experts is 0 there rightly:
  /// it lies below the smallest f32.
  virtual at::Tensor weigh(const Choice& choice, const at::Tensor& kept) const;
  /// Rows of `pair` where they hold all of `kept`, else of `kept`: what was not chosen (replay, overflow =
  /// next) is relative to itself.
  static at::Tensor covering(const at::Tensor& pair, const at::Tensor& kept);
  /// Rows per expert for T tokens; INT64_MAX: no limit.
  virtual int64_t capacity(int64_t tokens, bool train) const;
  /// `rows` rounded up to the multiple; as it is from T on, where no row is dropped (rounding INT64_MAX would
  /// overflow).
  int64_t rounded(int64_t rows, int64_t tokens) const;
  /// For policies whose weights are a softmax over the chosen experts: their table is unnormalised, so no sum
  /// is no softmax.
  /// Errors: ValueError with `renormalise` off.
  static void require_renormalised(const char* part, const ChoiceOptions& options);
  /// The preference that experts are chosen by: detached, with the selection bias if there is one, masked as
  /// the scores are.
  at::Tensor biased(const at::Tensor& preference, const at::Tensor& scores) const;

 private:
  /// `given` [T, K]: experts to weigh in place of the part's choice; undefined: its choice, as far as there
  /// is room.
  RoutingPlan decided(const at::Tensor& scores, const at::Tensor& given, bool train, const Rng& rng,
                      const at::Tensor& sequence) const;
  /// Whether evaluation may take the kernel that scores, chooses and weighs in one pass.
  bool one_pass(const at::Tensor& scores, bool train) const;
  ops::TopK chosen_in_one_pass(const at::Tensor& scores) const;
  at::Tensor disturbed(const at::Tensor& scores, bool train, const Rng& rng) const;
  at::Tensor fitted(const Choice& choice, const at::Tensor& ranking, bool train,
                    const at::Tensor& sequence) const;
  /// Sizes of the groups of neighbours that share room.
  std::vector<int64_t> sharing(int64_t tokens, const at::Tensor& sequence) const;
  at::Tensor weights(const Choice& choice, const at::Tensor& kept, bool train, const Rng& rng) const;

  const char* part_;
  PolicyTraits traits_;
  ChoiceOptions options_;
  int64_t experts_, k_;
  at::Tensor bias_;
};

}  // namespace gw::inline routing
