#pragma once
#include <map>

#include "gatewright/train/learner.h"

namespace gw::inline train {

/// What a member of a team is rewarded for beside its accuracy, and how rewards weigh answers.
struct TeamOptions : OptionSet {
  int64_t slots = 3;
  double synergy = 0, efficiency = 0, abstention = 0, sure = 0.5, forget = 0.1, sharpness = 20;
  void fields(OptionVisitor& v) override;
};

/// Trained networks of which some answer together and the others are a pool.
/// Reward of one in a window: R = accuracy + efficiency · (1 − its parameters / the most of any) −
///   abstention · (share of answers less sure than `sure`), and for a member + synergy · (accuracy of the
///   team − that without it).
/// The team answers log Σ_i w_i softmax(answer_i), w = softmax(sharpness · R̄), R̄ an exponential mean of R.
class AgentTeam {
 public:
  AgentTeam(const TeamOptions& options, const Task& task, const std::vector<TrainedModel>& models);

  /// Without gradients; the answer of everybody draws from a stream of its own.
  Output answer_of(int64_t agent, const Batch& batch, const Rng& rng) const;
  at::Tensor answer(const Batch& batch, const Rng& rng) const;
  /// Of each slot's member. Notes them.
  std::vector<double> member_rewards(const Batch& batch, const Rng& rng);
  /// Of networks of the pool. Notes them.
  std::map<int64_t, double> rewards(const std::vector<int64_t>& agents, const Batch& batch, const Rng& rng);

  int64_t member(size_t slot) const { return members_.at(slot); }
  const std::vector<int64_t>& pool() const { return pool_; }
  /// Those of the pool by the upper confidence bound of their rewards, the unknown first.
  std::vector<int64_t> by_bound(int64_t most) const;
  /// The member goes to the pool, and `agent`, of the pool, takes its slot with `mean` as its mean reward.
  void replace(size_t slot, int64_t agent, double mean);
  double mean_reward(int64_t agent) const { return agents_.at(static_cast<size_t>(agent)).mean; }
  ValueTable table() const;

 private:
  struct Agent {
    std::string name;
    std::shared_ptr<Model> model;
    double size = 0, mean = 0, seen = 0;
  };
  at::Tensor mixed(const std::vector<Output>& answers, int64_t without) const;
  double reward(int64_t agent, const at::Tensor& answer, const at::Tensor& label) const;
  void note(int64_t agent, double reward);

  TeamOptions o_;
  const Task& task_;
  std::vector<Agent> agents_;
  std::vector<int64_t> members_, pool_;
  double largest_ = 1;
};

}  // namespace gw::inline train
