#pragma once
// Where the local maximiser finds each expert's parameters in its vector.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "gatewright/likelihood/gate_form.h"
#include "gatewright/likelihood/parameter_codec.h"

namespace gw::likelihood {

/// The vectors of the local maximiser. With `pin_last_slope` the last gate's slopes are held even where an
/// activation makes them identifiable.
inline ParameterCodec local_codec(const MixtureSpec& spec, const MixtureParameters& p, bool pin_last_slope) {
  const bool held = pin_last_slope || spec.gate.kind->linear(spec.gate);
  return {spec, std::max(p.inputs, p.gate_inputs),
          held ? ParameterCodec::LastGate::kPinned : ParameterCodec::LastGate::kSlopes};
}

/// Where each parameter lives in such a vector. -1: held.
struct Layout {
  using Kind = FreeParameter::Kind;
  ParameterCodec codec;
  int64_t gates = 0, temperature = -1, total = 0, expert_size = 0;
  std::vector<int64_t> bias, slope, expert;
  std::vector<int64_t> constants;  ///< places of the gates' biases and of the intercepts

  Layout(const MixtureSpec& spec, const MixtureParameters& p, bool pin_last_slope)
      : codec(local_codec(spec, p, pin_last_slope)),
        total(static_cast<int64_t>(codec.size())),
        bias(static_cast<size_t>(p.experts), -1),
        slope(bias),
        expert(bias) {
    for (int64_t i = total; i-- > 0;) {  // downwards: an expert's first place is written last
      const auto& free = codec.list()[static_cast<size_t>(i)];
      const auto e = static_cast<size_t>(free.expert);
      if (free.kind == Kind::kGateBias) bias[e] = i;
      if (free.kind == Kind::kGateSlope) slope[e] = i;
      if (free.kind == Kind::kTemperature) temperature = i;
      if (free.kind == Kind::kIntercept) expert[e] = i;
      if (free.kind == Kind::kGateBias || free.kind == Kind::kIntercept) constants.push_back(i);
    }
    gates = expert.front();
    expert_size = (total - gates) / p.experts;
  }
};

}  // namespace gw::likelihood
