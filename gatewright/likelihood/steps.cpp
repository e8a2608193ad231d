#include "gatewright/likelihood/steps.h"

#include "gatewright/likelihood/family.h"
#include "gatewright/likelihood/gate_form.h"
#include "gatewright/likelihood/gate_linear.h"

namespace gw::likelihood {

std::unique_ptr<GateStep> GateForm::step(const MixtureSpec& spec, const Design& design,
                                         const FitOptions& options) const {
  return std::make_unique<LinearGateStep>(spec, design, options, options.gate_ridge);
}

std::unique_ptr<GateStep> make_gate_step(const MixtureSpec& spec, const Design& design,
                                         const FitOptions& options) {
  return spec.gate.kind->step(spec, design, options);
}

std::unique_ptr<ExpertStep> make_expert_step(const MixtureSpec& spec, const Design& design,
                                             const FitOptions& options) {
  return spec.family->step(spec, design, options);
}

}  // namespace gw::likelihood
