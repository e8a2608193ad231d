#include "gatewright/train/shadow_trial.h"

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/train/interval.h"

namespace gw::inline train {

ShadowTrial::ShadowTrial(std::vector<int64_t> candidates, int64_t windows, double margin, double confidence)
    : candidates_(std::move(candidates)),
      windows_(windows),
      margin_(margin),
      confidence_(1 - (1 - confidence) / static_cast<double>(std::max<size_t>(candidates_.size(), 1))),
      sum_(candidates_.size(), 0),
      ahead_(candidates_.size()) {
  GW_CHECK(!candidates_.empty() && windows >= static_cast<int64_t>(kLeastForT),
           "shadow_trial: expected a candidate and at least {} windows, got {} and {}", kLeastForT,
           candidates_.size(), windows);
}

void ShadowTrial::add(double incumbent, const std::vector<double>& candidates) {
  GW_CHECK(candidates.size() == candidates_.size(), "shadow_trial: expected rewards of {} candidates, got {}",
           candidates_.size(), candidates.size());
  for (size_t c = 0; c < candidates.size(); ++c)
    sum_[c] += candidates[c], ahead_[c].push_back(candidates[c] - incumbent);
  ++seen_;
}

double ShadowTrial::mean(size_t candidate) const {
  return seen_ == 0 ? 0 : sum_.at(candidate) / static_cast<double>(seen_);
}

int64_t ShadowTrial::winner(const std::vector<bool>& taken) const {
  int64_t best = -1;
  for (size_t c = 0; c < candidates_.size(); ++c) {
    if (!over() || (c < taken.size() && taken[c])) continue;
    double ahead = 0;
    for (const double one : ahead_[c]) ahead += one / static_cast<double>(seen_);
    if (ahead <= margin_ || lower_by_t(ahead_[c], confidence_) <= 0) continue;
    if (best < 0 || mean(c) > mean(static_cast<size_t>(best))) best = static_cast<int64_t>(c);
  }
  return best;
}

}  // namespace gw::inline train
