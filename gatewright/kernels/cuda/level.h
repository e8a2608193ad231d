#pragma once
// What the dispatch and `gatewright doctor` say of the CUDA levels.
#include <string>

#include "gatewright/base/dispatch.h"

namespace gw::kernels {

/// The level as a family lists it. Never taken by the CPU's dispatch: its arrays lie on the device, and
/// callers choose it by calling it.
KernelLevel cuda_level();
/// "compiled, …" or "not compiled in …", and, compiled, whether a device is there. Asks the driver: up to a
/// second.
std::string cuda_report();

}  // namespace gw::kernels
