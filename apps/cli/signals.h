#pragma once
#include <atomic>

namespace gw {

/// Set by the first SIGINT, SIGTERM or SIGHUP (a connection that was lost), for loops to save and leave; a
/// second one ends the process at once.
const std::atomic<bool>& stop_requested();
/// Installs the handlers; also ignores SIGXFSZ and SIGPIPE, so that a file-size limit and a pager that quits
/// are errors and not a death.
void catch_signals();

}  // namespace gw
