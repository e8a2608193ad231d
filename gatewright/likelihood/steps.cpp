#include "gatewright/likelihood/steps.h"

#include "gatewright/likelihood/experts_gaussian.h"
#include "gatewright/likelihood/experts_multinomial.h"
#include "gatewright/likelihood/experts_robust.h"
#include "gatewright/likelihood/gate_linear.h"
#include "gatewright/likelihood/gate_temperature.h"

namespace gw::likelihood {

std::unique_ptr<GateStep> make_gate_step(const MixtureSpec& spec, const Design& design,
                                         const FitOptions& options) {
  switch (spec.gate.kind) {
    case GateKind::kTopK:
      return std::make_unique<TopKGateStep>(spec, design, options);
    case GateKind::kDenseToSparse:
      return std::make_unique<TemperatureGateStep>(spec, design);
    default:  // modified: the design has transformed the columns
      return std::make_unique<LinearGateStep>(spec, design, options);
  }
}

std::unique_ptr<ExpertStep> make_expert_step(const MixtureSpec& spec, const Design& design,
                                             const FitOptions& options) {
  switch (spec.family) {
    case Family::kGaussian:
      return std::make_unique<GaussianStep>(spec, design, options);
    case Family::kMultinomial:
      return std::make_unique<MultinomialStep>(spec, design, options.class_ridge);
    default:
      return std::make_unique<RobustStep>(spec, design, options);
  }
}

}  // namespace gw::likelihood
