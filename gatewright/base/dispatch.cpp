#include "gatewright/base/dispatch.h"

#include <algorithm>
#include <sstream>

#include "gatewright/base/check.h"

namespace gw::inline base {
namespace {

std::vector<KernelFamilyBase*>& families() {
  static std::vector<KernelFamilyBase*> all;
  return all;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

}  // namespace

KernelFamilyBase::KernelFamilyBase(std::string name, std::vector<KernelLevel> levels)
    : name_(std::move(name)), levels_(std::move(levels)) {
  GW_ENSURE(!levels_.empty() && levels_.front().available, "kernels: family {} has no reference level",
            name_);
  families().push_back(this);
  force("");
}

void KernelFamilyBase::force(const std::string& level) {
  std::vector<std::string> names;
  int best = 0;
  for (size_t i = 0; i < levels_.size(); ++i) {
    names.push_back(levels_[i].name);
    if (levels_[i].available) best = static_cast<int>(i);
    if (level != levels_[i].name) continue;
    GW_CHECK(levels_[i].available, "kernels: level \"{}\" of family \"{}\" cannot run here: {}", level, name_,
             levels_[i].reason);
    chosen_ = static_cast<int>(i);
    why_ = "forced by GATEWRIGHT_KERNELS or a call";
    return;
  }
  GW_CHECK(level.empty(), "kernels: family \"{}\" has no level \"{}\"{}", name_, level,
           near_miss(level, names));
  chosen_ = best;
  why_ = "best level that this CPU has";
}

namespace {

// A near miss, or else one row per family.
void check_level(const std::string& level) {
  std::vector<std::string> known;
  std::string rows;
  for (const auto* family : families()) {
    rows += fmt::format("\n  {}:", family->name());
    for (const auto& l : family->levels()) {
      rows += " " + l.name;
      if (std::find(known.begin(), known.end(), l.name) == known.end()) known.push_back(l.name);
    }
  }
  if (std::find(known.begin(), known.end(), level) != known.end()) return;
  const auto close = near_miss(level, known);
  fail("GATEWRIGHT_KERNELS: unknown level \"{}\"{}", level,
       close.find("did you mean") != std::string::npos ? close : "; families and their levels:" + rows);
}

}  // namespace

std::vector<KernelFamilyBase*> kernel_families() { return families(); }

void force_kernels(const std::string& text) {
  std::vector<std::string> names;
  for (const auto* family : families()) names.push_back(family->name());
  for (const auto& part : split(text, ',')) {
    const auto equals = part.find('=');
    if (equals == std::string::npos) {
      for (auto* family :
           families()) {  // a bare level applies to the families that know it; one at least must
        const auto& levels = family->levels();
        const bool knows =
            std::any_of(levels.begin(), levels.end(), [&](const auto& l) { return l.name == part; });
        if (knows) family->force(part);
      }
      check_level(part);
      continue;
    }
    const auto family_name = part.substr(0, equals);
    const auto it = std::find(names.begin(), names.end(), family_name);
    GW_CHECK(it != names.end(), "GATEWRIGHT_KERNELS: unknown family \"{}\"{}", family_name,
             near_miss(family_name, names));
    families()[static_cast<size_t>(it - names.begin())]->force(part.substr(equals + 1));
  }
}

}  // namespace gw::inline base
