// Which folders hold runs and checks.
#include <algorithm>
#include <filesystem>

#include "gatewright/runs/run_data.h"
#include "gatewright/runs/run_directory.h"

namespace gw::inline runs {
namespace {

namespace fs = std::filesystem;

/// Orders "seed2" before "seed10": runs of digits compare as numbers.
bool natural_less(const std::string& a, const std::string& b) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  size_t i = 0, k = 0;
  while (i < a.size() && k < b.size()) {
    if (!digit(a[i]) || !digit(b[k])) {
      if (a[i] != b[k]) return a[i] < b[k];
      ++i, ++k;
      continue;
    }
    const size_t ie = std::min(a.find_first_not_of("0123456789", i), a.size()),
                 ke = std::min(b.find_first_not_of("0123456789", k), b.size());
    const std::string x = a.substr(i, ie - i), y = b.substr(k, ke - k);
    if (x.size() != y.size()) return x.size() < y.size();
    if (x != y) return x < y;
    i = ie, k = ke;
  }
  return a.size() - i < b.size() - k;
}

}  // namespace

bool is_run_directory(const std::string& directory) {
  for (const char* name : {kRecipeFile, kMetricsFile, "evaluation.json"})
    if (fs::is_regular_file(directory + "/" + name)) return true;
  return false;
}

bool is_check_directory(const std::string& directory) {
  return fs::is_regular_file(directory + "/check.json");
}

std::vector<std::string> runs_of_check(const std::string& directory) {
  std::vector<std::string> runs;
  for (const auto& entry : fs::directory_iterator(directory))
    if (entry.is_directory() && is_run_directory(entry.path().string()))
      runs.push_back(entry.path().string());
  std::sort(runs.begin(), runs.end(), natural_less);
  return runs;
}

}  // namespace gw::inline runs
