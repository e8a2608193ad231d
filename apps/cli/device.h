#pragma once
#include <CLI/CLI.hpp>

namespace gw {

/// Adds --device to a command that trains or attacks. Only the processor computes those so far: anything else
/// is refused while arguments are parsed, with the reason, and not ignored.
void declare_device(CLI::App& app);

}  // namespace gw
