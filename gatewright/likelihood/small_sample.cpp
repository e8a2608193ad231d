#include "gatewright/likelihood/small_sample.h"

#include <algorithm>
#include <cmath>

#include "gatewright/likelihood/location_scale.h"

namespace gw::likelihood {

std::optional<SmallSample> small_sample(const MixtureSpec& spec, const MixtureParameters& p,
                                        const Inference& inference, int64_t expert) {
  for (size_t i = 0; i < inference.parameter.size(); ++i) {
    const auto& free = inference.parameter[i];
    if (free.kind != FreeParameter::Kind::kScale || free.expert != expert) continue;
    if (!inference.error[i]) return std::nullopt;
    const double log_error = *inference.error[i] / p.scale[static_cast<size_t>(expert)];
    const double rows = 1 / (spec.family->location_scale()->scale_information() * log_error * log_error);
    const auto coefficients = static_cast<double>(p.inputs + 1);
    const double freedom = std::clamp(rows - coefficients, 1.0, 1e6);
    return SmallSample{freedom, std::sqrt((freedom + coefficients) / freedom)};
  }
  return std::nullopt;
}

}  // namespace gw::likelihood
