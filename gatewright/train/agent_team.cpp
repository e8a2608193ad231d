#include "gatewright/train/agent_team.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"

namespace gw::inline train {
namespace {

double right_share(const at::Tensor& answer, const at::Tensor& label) {
  return answer.argmax(1).eq(label).to(at::kDouble).mean().item<double>();
}

}  // namespace

void TeamOptions::fields(OptionVisitor& v) {
  v.integer("slots", slots, "networks that answer", 1, 1024);
  v.real("synergy", synergy, "weight of what the team gains by a member", 0, 100);
  v.real("efficiency", efficiency, "weight of having few parameters", 0, 100);
  v.real("abstention", abstention, "weight of unsure answers", 0, 100);
  v.real("sure", sure, "probability below which an answer is unsure", 0, 1);
  v.real("forget", forget, "weight of the newest window in a mean reward", 0.01, 1);
  v.real("sharpness", sharpness, "of the weights by mean reward; 0: all alike", 0, 1e4);
}

AgentTeam::AgentTeam(const TeamOptions& options, const Task& task, const std::vector<TrainedModel>& models)
    : o_(options), task_(task) {
  GW_CHECK(static_cast<int64_t>(models.size()) >= o_.slots,
           "learners/free_agents: expected at least as many trained networks as {} slots in \"from\", got {}",
           o_.slots, models.size());
  for (const auto& model : models) {
    (static_cast<int64_t>(agents_.size()) < o_.slots ? members_ : pool_)
        .push_back(static_cast<int64_t>(agents_.size()));
    agents_.push_back({model.name, model.model, static_cast<double>(model.model->parameter_count())});
    largest_ = std::max(largest_, agents_.back().size);
  }
}

Output AgentTeam::answer_of(int64_t agent, const Batch& batch, const Rng& rng) const {
  Pass pass;
  pass.rng = rng.fork("agent", static_cast<uint64_t>(agent)), pass.train = false;
  return answer_for(task_, *agents_.at(static_cast<size_t>(agent)).model, batch, pass, false).output;
}

at::Tensor AgentTeam::answer(const Batch& batch, const Rng& rng) const {
  std::vector<Output> answers;
  for (const int64_t agent : members_) answers.push_back(answer_of(agent, batch, rng));
  return mixed(answers, -1);
}

/// The team's answer, without one of its slots if that is not −1.
at::Tensor AgentTeam::mixed(const std::vector<Output>& answers, int64_t without) const {
  std::vector<at::Tensor> terms;
  for (size_t s = 0; s < members_.size(); ++s) {
    if (static_cast<int64_t>(s) != without)
      terms.push_back(at::log_softmax(answers[s].answer, 1) + o_.sharpness * mean_reward(members_[s]));
  }
  return at::log_softmax(at::logsumexp(at::stack(terms), 0), 1);
}

double AgentTeam::reward(int64_t agent, const at::Tensor& answer, const at::Tensor& label) const {
  const double spared = 1 - agents_[static_cast<size_t>(agent)].size / largest_;
  const auto surest = at::amax(at::softmax(answer, 1), 1);
  return right_share(answer, label) + o_.efficiency * spared -
         o_.abstention * surest.lt(o_.sure).to(at::kDouble).mean().item<double>();
}

std::vector<double> AgentTeam::member_rewards(const Batch& batch, const Rng& rng) {
  const at::NoGradGuard no_grad;
  const auto& label = batch.at("label");
  std::vector<Output> answers;
  for (const int64_t agent : members_) answers.push_back(answer_of(agent, batch, rng));
  const bool alone = members_.size() == 1 || o_.synergy == 0;
  const double together = alone ? 0 : right_share(mixed(answers, -1), label);
  std::vector<double> out;
  for (size_t s = 0; s < members_.size(); ++s) {
    const double gain = alone ? 0 : together - right_share(mixed(answers, static_cast<int64_t>(s)), label);
    out.push_back(reward(members_[s], answers[s].answer, label) + o_.synergy * gain);
  }
  for (size_t s = 0; s < members_.size(); ++s) note(members_[s], out[s]);
  return out;
}

std::map<int64_t, double> AgentTeam::rewards(const std::vector<int64_t>& agents, const Batch& batch,
                                             const Rng& rng) {
  const at::NoGradGuard no_grad;
  std::map<int64_t, double> out;
  for (const int64_t agent : agents) {
    if (out.count(agent) > 0) continue;
    out[agent] = reward(agent, answer_of(agent, batch, rng).answer, batch.at("label"));
    note(agent, out[agent]);
  }
  return out;
}

void AgentTeam::note(int64_t agent, double reward) {
  auto& a = agents_[static_cast<size_t>(agent)];
  a.mean = a.seen == 0 ? reward : (1 - o_.forget) * a.mean + o_.forget * reward;
  a.seen += 1;
}

std::vector<int64_t> AgentTeam::by_bound(int64_t most) const {
  double all = 1;
  for (const int64_t agent : pool_) all += agents_[static_cast<size_t>(agent)].seen;
  const auto bound = [&](int64_t agent) {
    const auto& a = agents_[static_cast<size_t>(agent)];
    return a.seen == 0 ? 1e9 : a.mean + std::sqrt(2 * std::log(all) / a.seen);
  };
  auto order = pool_;
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return bound(a) > bound(b); });
  order.resize(std::min<size_t>(order.size(), static_cast<size_t>(most)));
  return order;
}

void AgentTeam::replace(size_t slot, int64_t agent, double mean) {
  const auto place = std::find(pool_.begin(), pool_.end(), agent);
  GW_CHECK(place != pool_.end(), "agent_team: expected a network of the pool, got {}", agent);
  *place = members_.at(slot), members_[slot] = agent;
  agents_[static_cast<size_t>(agent)].mean = mean;
}

ValueTable AgentTeam::table() const {
  ValueTable table{"agent", {"in the team", "mean reward", "windows seen"}, {}, {}};
  for (size_t a = 0; a < agents_.size(); ++a) {
    const bool in = std::find(members_.begin(), members_.end(), static_cast<int64_t>(a)) != members_.end();
    table.names.push_back(agents_[a].name);
    table.values.push_back({in ? 1.0 : 0.0, agents_[a].mean, agents_[a].seen});
  }
  return table;
}

}  // namespace gw::inline train
