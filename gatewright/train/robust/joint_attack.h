#pragma once
#include "gatewright/train/robust/attack_base.h"

namespace gw::inline train {

/// Options of the attacks on answer and router together; the step is the published evaluation's.
struct JointSteps : SignSteps {
  JointSteps() { step_size = 2.0 / 255.0; }
  double router_weight = 6;
  void fields(OptionVisitor& v) override;
};

/// Projected gradient steps on CE(f(x'), y) + router_weight · CE(s(x'), y mod E); the second term is absent
/// where a victim has no scores.
/// `through_choice`: the gradient of the first term also passes through the choice of experts, as if it were
/// the identity (`Victim::respond_through_choice`).
/// Cost: restarts · steps forward and backward passes, 1 forward pass more per restart when there are
/// several.
at::Tensor joint_search(const JointSteps& options, Probe& probe, bool through_choice, const at::Tensor& x,
                        const at::Tensor& labels, double epsilon, const Rng& rng);

}  // namespace gw::inline train
