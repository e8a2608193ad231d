#pragma once
// The parts behind the handles of gatewright/likelihood/part_handle.h.
#include <algorithm>
#include <map>
#include <mutex>

#include "gatewright/base/registry.h"
#include "gatewright/likelihood/part_handle.h"

namespace gw::likelihood {

/// Names of a catalogue's parts.
template <class Part>
std::vector<std::string> part_names() {
  std::vector<std::string> names;
  for (const auto& part : Registry::instance().list(Part::kKind)) names.push_back(part.name);
  return names;
}

/// The part `name` of its catalogue, the same at every call; parts without options. `what`: for messages.
/// Errors: ValueError with the near miss. Thread-safe.
template <class Part>
const typename PartHandle<Part>::Entry* shared_part(const char* what, const std::string& name) {
  static std::mutex mutex;
  static std::map<std::string, typename PartHandle<Part>::Entry> made;
  const std::lock_guard lock(mutex);
  const auto found = made.find(name);
  if (found != made.end()) return &found->second;
  const auto names = part_names<Part>();
  if (std::find(names.begin(), names.end(), name) == names.end())
    throw ValueError(std::string("fit: unknown ") + what + " \"" + name + "\"" + near_miss(name, names));
  return &made.emplace(name,
                       typename PartHandle<Part>::Entry{name, make_part<Part>(name, Json::object(), {})})
              .first->second;
}

}  // namespace gw::likelihood
