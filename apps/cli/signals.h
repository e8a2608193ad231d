#pragma once
#include <atomic>

namespace gw {

/// Set by the first SIGINT or SIGTERM, for loops to save and leave; a second one ends the process at once.
const std::atomic<bool>& stop_requested();
/// Installs the handlers; also ignores SIGXFSZ so that a file-size limit is an error and not a death.
void catch_signals();

}  // namespace gw
