#pragma once
// Where a result comes from, for pages and run directories.
#include <string>

namespace gw {

/// "0.1.0, commit 0123456789ab" (with "-dirty" for changed files); the version alone where the program was
/// not built from a checkout.
std::string version_with_commit();
/// "AMD EPYC, 2 cores, 1 thread, libtorch 1.13.0, Gatewright 0.1.0, commit …".
std::string machine_text();

}  // namespace gw
