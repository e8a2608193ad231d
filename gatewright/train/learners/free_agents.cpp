#include <ATen/ATen.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/train/agent_team.h"
#include "gatewright/train/drift_monitor.h"
#include "gatewright/train/shadow_trial.h"

namespace gw::inline train {
namespace {

/// A team of trained networks with a bench: who falls behind is released, free agents are tried in its
/// shadow, and the better one takes its place. Nobody is trained. Rewards and the team's answer are those of
/// gatewright/train/agent_team.h; the first `slots` networks are the team.
/// Each member has a monitor on −R (gatewright/train/drift_monitor.h), level / slots each: the chance that
/// anybody is released within the horizon of a stream that does not change is at most about `level`. From the
/// window after the release up to `shadows` free agents, by their upper confidence bound, answer the same
/// rows for `probation` windows, unseen; then the best is promoted if it is ahead by more than `margin` and a
/// paired t test says so with `confidence`. Whoever was replaced joins the pool, and its successor's monitor
/// begins anew; without a promotion the reference stays, so that one who is still behind is released again.
/// The slot then rests for `cool_down` windows.
/// Errors: ValueError for fewer networks than slots.
/// Source: J.-H. Liu 2025 (RLFA), arXiv 2501.17903, a conceptual paper: reconstructed. Ours are the monitor
///         with a level in place of a threshold for several windows, several candidates at a time, and the
///         weights by reward.
class FreeAgents : public Learner {
 public:
  static constexpr const char* kSummary = "a team of trained networks: releases, tries in shadow, promotes";
  static constexpr const char* kSource = "RLFA, arXiv 2501.17903 (reconstructed)";
  struct Options : TeamOptions {
    int64_t shadows = 5, probation = 5, cool_down = 5;
    double margin = 0.02, confidence = 0.95;
    bool replaces = true;
    Nested<DriftOptions> drift;
    void fields(OptionVisitor& v) override {
      TeamOptions::fields(v);
      v.integer("shadows", shadows, "free agents that are tried at a time", 1, 1024);
      v.integer("probation", probation, "windows of a trial", 2, 100000);
      v.integer("cool_down", cool_down, "windows in which a slot is left alone after a trial", 0, 100000);
      v.real("margin", margin, "by which a candidate must be ahead", 0, 1);
      v.real("confidence", confidence, "of the test that it is", 0.5, 0.99999);
      v.flag("replaces", replaces, "members are replaced; off: the team stays, and alarms are counted");
      v.table("drift", drift, "level, reference and horizon of the monitors");
    }
  };

  FreeAgents(const Options& options, const Context&) : o_(options) {}

  int64_t least_models() const override { return o_.slots; }
  int64_t most_models() const override { return 1024; }
  std::vector<std::string> reports() const override {
    return {"releases", "promotions", "on_trial", "mean_reward"};
  }
  std::vector<std::string> table_names() const override { return {"team"}; }

  void begin(const LearnerSetup& setup) override {
    team_.emplace(o_, setup.task, setup.models);
    auto options = *o_.drift;
    options.level /= static_cast<double>(o_.slots);
    slots_.assign(static_cast<size_t>(o_.slots), Slot{DriftMonitor(options)});
  }

  Answered answer(const Batch& batch, const Rng& rng) override {
    return {{team_->answer(batch, rng), {}}, batch};
  }

  LearnerNews learn(const Answered& answered, const StreamMoment& moment) override {
    const auto& batch = answered.batch;
    const auto before = releases_;
    const auto rewards = team_->member_rewards(batch, moment.rng);
    try_out(batch, rewards, moment.rng);
    for (size_t s = 0; s < slots_.size(); ++s) watch(slots_[s], rewards[s]);
    return {news(), releases_ > before};
  }

  std::map<std::string, ValueTable> tables(const Batch&) override { return {{"team", team_->table()}}; }

 private:
  struct Slot {
    DriftMonitor monitor;
    std::optional<ShadowTrial> trial = {};
    int64_t rest = 0;
    bool fresh = false;  ///< its member came in this window, which says nothing of it yet
  };

  /// Trials that began in a window before this one; each free agent answers once.
  void try_out(const Batch& batch, const std::vector<double>& rewards, const Rng& rng) {
    std::vector<int64_t> tried;
    for (const auto& slot : slots_) {
      if (slot.trial)
        tried.insert(tried.end(), slot.trial->candidates().begin(), slot.trial->candidates().end());
    }
    const auto found = team_->rewards(tried, batch, rng);
    for (size_t s = 0; s < slots_.size(); ++s) {
      if (!slots_[s].trial) continue;
      std::vector<double> shown;
      for (const int64_t agent : slots_[s].trial->candidates()) shown.push_back(found.at(agent));
      slots_[s].trial->add(rewards[s], shown);
      if (slots_[s].trial->over()) decide(s);
    }
  }

  void decide(size_t s) {
    auto& slot = slots_[s];
    const auto& candidates = slot.trial->candidates();
    std::vector<bool> taken;  // by a slot whose trial ended just before
    for (const int64_t agent : candidates)
      taken.push_back(std::find(team_->pool().begin(), team_->pool().end(), agent) == team_->pool().end());
    const auto place = slot.trial->winner(taken);
    if (place >= 0) {
      const auto at = static_cast<size_t>(place);
      team_->replace(s, candidates[at], slot.trial->mean(at));
      slot.monitor.reset();
      slot.fresh = true;
      ++promotions_;
    }
    slot.trial.reset();
    slot.rest = o_.cool_down;
  }

  void watch(Slot& slot, double reward) {
    if (std::exchange(slot.fresh, false)) return;
    const bool alarm = slot.monitor.add(-reward);
    if (slot.rest > 0) {
      --slot.rest;
      return;
    }
    if (!alarm || slot.trial) return;
    ++releases_;
    if (o_.replaces && !team_->pool().empty())
      slot.trial.emplace(team_->by_bound(o_.shadows), o_.probation, o_.margin, o_.confidence);
    else
      slot.monitor.reset();
  }

  std::map<std::string, double> news() const {
    double trying = 0, mean = 0;
    for (size_t s = 0; s < slots_.size(); ++s) {
      trying += slots_[s].trial ? 1 : 0;
      mean += team_->mean_reward(team_->member(s)) / static_cast<double>(slots_.size());
    }
    return {{"releases", static_cast<double>(releases_)},
            {"promotions", static_cast<double>(promotions_)},
            {"on_trial", trying},
            {"mean_reward", mean}};
  }

  Options o_;
  std::optional<AgentTeam> team_;
  std::vector<Slot> slots_;
  int64_t releases_ = 0, promotions_ = 0;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Learner, gw::FreeAgents);
