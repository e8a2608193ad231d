#pragma once
#include <string>
#include <vector>

namespace gw::inline report {

/// Renders the runs (or checks) and replaces `path` by the page, whole or not at all. Returns the sentences
/// that it opens with.
std::vector<std::string> write_report(const std::string& path, const std::vector<std::string>& directories);

}  // namespace gw::inline report
