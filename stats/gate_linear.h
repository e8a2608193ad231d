#pragma once
#include "stats/logistic.h"
#include "stats/steps.h"

namespace gw::stats {

/// Gates whose scores are linear in the (possibly transformed) columns: softmax, modified, and top-k within one choice of experts.
class LinearGateStep : public GateStep {
 public:
  LinearGateStep(const MixtureSpec& spec, const Design& design, const FitOptions& options);
  int64_t sums() const override { return logistic_.size(); }
  void scores(const Block& block, const MixtureParameters& parameters, double* score) const override;
  void accumulate(const Block& block, const MixtureParameters& parameters, const double* probability, const double* posterior,
                  double* scratch, double* sum) const override;
  void update(const MixtureParameters& parameters, const double* sum, MixtureParameters& target) const override;

 private:
  int64_t experts_, columns_;
  double ridge_;
  GateSolver solver_;
  LogisticSums logistic_;
  std::vector<double> moments_;  // of the columns under the rows' weights: for the bound
};

}  // namespace gw::stats
