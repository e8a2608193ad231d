#pragma once
#include "gatewright/likelihood/logistic.h"
#include "gatewright/likelihood/steps.h"

namespace gw::likelihood {

/// Gates whose scores are linear in the (possibly transformed) columns: softmax and modified.
class LinearGateStep : public GateStep {
 public:
  /// `ridge`: on squared slopes.
  LinearGateStep(const MixtureSpec& spec, const Design& design, const FitOptions& options, double ridge);
  int64_t sums() const override { return logistic_.size(); }
  int64_t scratch() const override { return LogisticSums::kScratch; }
  void scores(const Block& block, const MixtureParameters& parameters, double* score) const override;
  void accumulate(const Block& block, const MixtureParameters& parameters, const double* probability,
                  const double* posterior, double* scratch, double* sum) const override;
  void update(const MixtureParameters& parameters, const double* sum,
              MixtureParameters& target) const override;
  bool ridged() const override { return true; }

 protected:
  int64_t experts_, columns_;

 private:
  double ridge_;
  GateSolver solver_;
  LogisticSums logistic_;
  std::vector<double> moments_;  // of the columns under the rows' weights: for the bound
};

}  // namespace gw::likelihood
