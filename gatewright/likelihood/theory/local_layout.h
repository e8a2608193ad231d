#pragma once
// The free parameters of a mixture as one vector: what the local maximiser moves.
#include <cstdint>
#include <vector>

#include "gatewright/likelihood/family.h"
#include "gatewright/likelihood/gate_form.h"

namespace gw::likelihood {

/// Where each parameter lives in the packed vector. -1: held.
struct Layout {
  int64_t gates, experts, temperature = -1, total = 0;
  std::vector<int64_t> bias, slope, expert;
  int64_t expert_size;

  Layout(const MixtureSpec& spec, const MixtureParameters& p, bool pin_last_slope) {
    const int64_t k = p.experts;
    for (int64_t e = 0; e < k; ++e) {
      const bool last = e + 1 == k;
      const bool free_slope = !last || (!pin_last_slope && !spec.gate.kind->linear(spec.gate));
      bias.push_back(last ? -1 : total);
      total += last ? 0 : 1;
      slope.push_back(free_slope ? total : -1);
      total += free_slope ? p.gate_inputs : 0;
    }
    if (spec.gate.kind->tempered()) temperature = total++;
    gates = total;
    expert_size = p.outputs * (1 + p.inputs) + (spec.family->scaled() ? 1 : 0);
    for (int64_t e = 0; e < k; ++e) expert.push_back(gates + e * expert_size);
    experts = k;
    total += k * expert_size;
  }

  /// Places of the gates' biases and of the intercepts.
  std::vector<int64_t> constants(const MixtureParameters& p) const {
    std::vector<int64_t> places;
    for (int64_t e = 0; e < experts; ++e) {
      if (bias[static_cast<size_t>(e)] >= 0) places.push_back(bias[static_cast<size_t>(e)]);
      for (int64_t o = 0; o < p.outputs; ++o)
        places.push_back(expert[static_cast<size_t>(e)] + o * (1 + p.inputs));
    }
    return places;
  }
};

/// Calls `each(parameter, index, on the log scale)` for every free parameter.
template <class Each>
void visit(const Layout& layout, MixtureParameters& p, const MixtureSpec& spec, Each each) {
  for (int64_t k = 0; k < p.experts; ++k) {
    const auto e = static_cast<size_t>(k);
    if (layout.bias[e] >= 0) each(p.gate_bias[e], layout.bias[e], false);
    for (int64_t j = 0; layout.slope[e] >= 0 && j < p.gate_inputs; ++j)
      each(p.gate_slope[static_cast<size_t>(k * p.gate_inputs + j)], layout.slope[e] + j, false);
    int64_t at = layout.expert[e];
    for (int64_t o = 0; o < p.outputs; ++o) {
      const int64_t row = k * p.outputs + o;
      each(p.intercept[static_cast<size_t>(row)], at++, false);
      for (int64_t j = 0; j < p.inputs; ++j)
        each(p.slope[static_cast<size_t>(row * p.inputs + j)], at++, false);
    }
    if (spec.family->scaled()) each(p.scale[e], at, true);
  }
  if (layout.temperature >= 0) each(p.temperature, layout.temperature, true);
}

}  // namespace gw::likelihood
