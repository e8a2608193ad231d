#pragma once
#include "gatewright/likelihood/logistic.h"
#include "gatewright/likelihood/steps.h"

namespace gw::likelihood {

/// Gates whose scores are linear in the (possibly transformed) columns: softmax and modified.
class LinearGateStep : public GateStep {
 public:
  LinearGateStep(const MixtureSpec& spec, const Design& design, const FitOptions& options);
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

/// The same with all but the largest scores at -infinity.
class TopKGateStep : public LinearGateStep {
 public:
  TopKGateStep(const MixtureSpec& spec, const Design& design, const FitOptions& options)
      : LinearGateStep(spec, design, options),
        keep_(spec.gate.top_k),
        with_bias_(spec.gate.select_with_bias) {}
  void scores(const Block& block, const MixtureParameters& parameters, double* score) const override;
  bool jumps() const override { return keep_ < experts_; }
  bool ridged() const override { return false; }

 private:
  int64_t keep_;
  bool with_bias_;
};

}  // namespace gw::likelihood
