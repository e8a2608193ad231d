#pragma once
#include <functional>

#include "models/network.h"

namespace gw {

/// Median milliseconds per image of several networks at one batch size, measured in turns so that a noisy machine
/// disturbs all alike. The clock is given: the library reads none.
/// Images are random in [0, 1]; evaluation mode, no recording (batch norm folded).
std::vector<double> milliseconds_per_image(const std::vector<Network*>& networks, int64_t batch, int64_t rounds, const std::function<double()>& now_s);

}  // namespace gw
