#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace gw::inline train {

/// Candidates beside an incumbent on the same windows: is one of them better?
class ShadowTrial {
 public:
  /// `candidates`: whoever they are to the caller. `confidence`: chance of promoting none by luck, shared
  /// evenly among the candidates, as the best of them is chosen by the windows that test it.
  ShadowTrial(std::vector<int64_t> candidates, int64_t windows, double margin, double confidence);
  /// Rewards of one window, in the order of the candidates.
  void add(double incumbent, const std::vector<double>& candidates);
  bool over() const { return seen_ >= windows_; }
  const std::vector<int64_t>& candidates() const { return candidates_; }
  double mean(size_t candidate) const;
  /// The place of the best candidate whose reward exceeds the incumbent's by more than the margin in the mean
  /// and, by a one-sided paired t test over the windows, at all; −1: none. `taken`: places that may not win.
  int64_t winner(const std::vector<bool>& taken = {}) const;

 private:
  std::vector<int64_t> candidates_;
  int64_t windows_, seen_ = 0;
  double margin_, confidence_;
  std::vector<double> sum_;
  std::vector<std::vector<double>> ahead_;  ///< [candidate][window]
};

}  // namespace gw::inline train
