#pragma once
#include <cstdint>

namespace gw::kernels::cuda {

/// "No fault", where the first faulty row or slot is looked for: larger than all of them.
inline constexpr int64_t kNoFault = INT64_MAX;

}  // namespace gw::kernels::cuda
