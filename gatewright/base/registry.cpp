#include "gatewright/base/registry.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "gatewright/base/check.h"

namespace gw::inline base {

Registry& Registry::instance() {
  static Registry registry;
  return registry;
}

void Registry::add(PartInfo info, std::any factory) {
  for (const auto& entry : entries_) {
    const bool twice = entry.info.kind == info.kind && entry.info.name == info.name;
    GW_ENSURE(!twice, "registry: {}/{} is registered twice ({} and {})", info.kind, info.name,
              entry.info.file, info.file);
  }
  entries_.push_back({std::move(info), std::move(factory)});
}

const Registry::Entry& Registry::find(const std::string& kind, const std::string& name) const {
  std::vector<std::string> names;
  for (const auto& entry : entries_) {
    if (entry.info.kind != kind) continue;
    if (entry.info.name == name) return entry;
    names.push_back(entry.info.name);
  }
  std::sort(names.begin(), names.end());
  fail("{}: unknown part \"{}\"{}", kind, name.substr(0, 80), near_miss(name, names));
}

const std::any& Registry::factory(const std::string& kind, const std::string& name) const {
  return find(kind, name).factory;
}

const PartInfo& Registry::info(const std::string& kind, const std::string& name) const {
  return find(kind, name).info;
}

std::vector<PartInfo> Registry::list(const std::string& kind) const {
  if (!kind.empty()) {
    const auto known = kinds();
    GW_CHECK(std::find(known.begin(), known.end(), kind) != known.end(), "list: unknown catalogue \"{}\"{}",
             kind, near_miss(kind, known));
  }
  std::vector<PartInfo> infos;
  for (const auto& entry : entries_) {
    if (kind.empty() || entry.info.kind == kind) infos.push_back(entry.info);
  }
  std::sort(infos.begin(), infos.end(), [](const PartInfo& a, const PartInfo& b) {
    return std::tie(a.kind, a.name) < std::tie(b.kind, b.name);
  });
  return infos;
}

std::vector<std::string> Registry::kinds() const {
  std::set<std::string> kinds;
  for (const auto& entry : entries_) kinds.insert(entry.info.kind);
  return {kinds.begin(), kinds.end()};
}

std::string file_stem(const std::string& path) {
  const auto slash = path.find_last_of('/');
  const auto name = slash == std::string::npos ? path : path.substr(slash + 1);
  return name.substr(0, name.find_last_of('.'));
}

std::string repository_path(const std::string& path) {
  const std::string root = GW_SOURCE_ROOT;
  if (path.rfind(root, 0) == 0) return path.substr(root.size());
  size_t begin = 0;  // compiler caches make paths relative to the build folder
  while (path.compare(begin, 3, "../") == 0) begin += 3;
  return path.substr(begin);
}

}  // namespace gw::inline base
