#include "gatewright/base/memory_info.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

namespace gw::inline base {
namespace {

std::string whole_text(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The number after a word at the beginning of a line; −1 where there is none.
int64_t number_after(const std::string& text, const std::string& word) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(word, 0) != 0) continue;
    int64_t value = 0;
    if (std::istringstream(line.substr(word.size())) >> value) return value;
  }
  return -1;
}

/// What a group has left; −1 without a limit. Pages of files that were not used lately are given back first.
int64_t left_in_group(const std::string& folder, bool second) {
  const auto number = [&](const char* newer, const char* older) {
    int64_t value = -1;
    std::istringstream text(whole_text(folder + (second ? newer : older)));
    return text >> value ? value : -1;
  };
  const int64_t limit = number("/memory.max", "/memory.limit_in_bytes");
  const int64_t used = number("/memory.current", "/memory.usage_in_bytes");
  if (limit < 0 || used < 0) return -1;
  const auto stat = whole_text(folder + "/memory.stat");
  const int64_t idle = number_after(stat, second ? "inactive_file " : "total_inactive_file ");
  return std::max<int64_t>(0, limit - used + std::max<int64_t>(0, idle));
}

}  // namespace

int64_t available_memory(const std::string& meminfo, const std::string& memberships,
                         const std::string& root) {
  const int64_t system = number_after(meminfo, "MemAvailable:");
  int64_t least = system < 0 ? -1 : system * 1024;
  std::istringstream lines(memberships);
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':'), end = line.find(':', first + 1);
    if (first == std::string::npos || end == std::string::npos) continue;
    const auto controllers = line.substr(first + 1, end - first - 1);
    const bool second = controllers.empty();
    if (!second && ("," + controllers + ",").find(",memory,") == std::string::npos) continue;
    for (std::string group = line.substr(end + 1);; group.resize(group.rfind('/'))) {
      const auto left = left_in_group((second ? root : root + "/memory") + group, second);
      if (left >= 0 && (least < 0 || left < least)) least = left;
      if (group.rfind('/') == std::string::npos) break;
    }
  }
  return std::max<int64_t>(0, least);
}

int64_t available_memory() {
  return available_memory(whole_text("/proc/meminfo"), whole_text("/proc/self/cgroup"), "/sys/fs/cgroup");
}

}  // namespace gw::inline base
