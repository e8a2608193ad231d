#pragma once
#include "gatewright/likelihood/logistic.h"
#include "gatewright/likelihood/steps.h"

namespace gw::likelihood {

/// Multinomial logistic experts, the last class the reference: one Newton step each per iteration.
class MultinomialStep : public ExpertStep {
 public:
  MultinomialStep(const MixtureSpec& spec, const Design& design, double ridge);
  int64_t sums() const override { return experts_ * logistic_.size(); }
  int64_t scratch() const override { return (experts_ + 1) * (outputs_ + 1) + LogisticSums::kScratch; }
  void densities(const Block& block, const MixtureParameters& parameters, double* joint,
                 double* scratch) const override;
  void accumulate(const Block& block, const MixtureParameters& parameters, const double* posterior,
                  double* scratch, double* sum) const override;
  void update(const MixtureParameters& parameters, const double* sum,
              MixtureParameters& target) const override;
  bool may_overshoot() const override { return true; }
  double ridge() const override;

 private:
  int64_t experts_, outputs_, columns_;
  double ridge_;
  LogisticSums logistic_;
};

}  // namespace gw::likelihood
