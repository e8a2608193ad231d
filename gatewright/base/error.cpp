#include "gatewright/base/error.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace gw::inline base {
namespace {

// Damerau-Levenshtein distance (optimal string alignment): a swap of neighbours, the commonest slip, costs
// one.
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitute = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, substitute});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::string near_miss(const std::string& got, const std::vector<std::string>& candidates) {
  if (got.size() <= 64) {  // hostile names may be megabytes long: the distance is quadratic
    const std::string* best = nullptr;
    size_t best_distance = std::max<size_t>(1, got.size() / 3) + 1;
    for (const auto& candidate : candidates) {
      const size_t distance = edit_distance(got, candidate);
      if (distance < best_distance) best = &candidate, best_distance = distance;
    }
    if (best != nullptr) return fmt::format("; did you mean \"{}\"?", *best);
  }
  if (candidates.empty()) return "; none is known";
  return fmt::format("; known: {}", fmt::join(candidates, ", "));
}

}  // namespace gw::inline base
