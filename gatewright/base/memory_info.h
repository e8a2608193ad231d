#pragma once
#include <cstdint>
#include <string>

namespace gw::inline base {

/// Bytes that this process may take now without swapping: what the system calls available (free memory and
/// caches that can be dropped), or less where a control group limits it. 0 where the system does not say.
int64_t available_memory();

/// The same from texts. `meminfo`: of /proc/meminfo; `memberships`: of /proc/self/cgroup; `root`: where the
/// groups are mounted (/sys/fs/cgroup). Limits of a group hold for all groups in it.
int64_t available_memory(const std::string& meminfo, const std::string& memberships, const std::string& root);

}  // namespace gw::inline base
