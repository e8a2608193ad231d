#include "ops/peak.h"

#include <algorithm>
#include <cstring>

#include "kernels/peak/peak.h"
#include "ops/team.h"

namespace gw::ops {
namespace {

constexpr int64_t kTurns = 3'000'000;  // 10 to 20 ms
constexpr int64_t kReadBytes = int64_t{512} << 20;

double operations(int64_t (*loop)(int64_t), const std::function<double()>& now_s) {
  if (loop == nullptr) return 0;
  TorchTeam team;
  double best = 0;
  for (int round = 0; round < 6; ++round) {
    std::vector<int64_t> done(static_cast<size_t>(team.workers()));
    const double start = now_s();
    team.run(team.workers(), [&](int64_t task, int) { done[static_cast<size_t>(task)] = loop(kTurns); });
    const double seconds = now_s() - start;
    int64_t all = 0;
    for (const auto n : done) all += n;
    best = std::max(best, static_cast<double>(all) / seconds * 1e-9);
  }
  return best;
}

double reading(uint64_t (*loop)(const void*, int64_t), const std::function<double()>& now_s) {
  TorchTeam team;
  Workspace memory;
  auto* bytes = static_cast<char*>(memory.take(kReadBytes));
  std::memset(bytes, 1, static_cast<size_t>(kReadBytes));
  const int64_t parts = team.workers() * 4, each = kReadBytes / parts / 256 * 256;
  double best = 0;
  std::vector<uint64_t> seen(static_cast<size_t>(parts));  // kept, so that the reads are
  for (int round = 0; round < 4; ++round) {
    const double start = now_s();
    team.run(parts, [&](int64_t part, int) { seen[static_cast<size_t>(part)] += loop(bytes + part * each, each); });
    best = std::max(best, static_cast<double>(parts * each) / (now_s() - start) * 1e-9);
  }
  return best;
}

}  // namespace

Peaks measure_peaks(const std::function<double()>& now_s) {
  const auto table = kernels::peak_table();
  return {operations(table.f32, now_s), operations(table.bf16, now_s), operations(table.int8, now_s), reading(table.read, now_s)};
}

}  // namespace gw::ops
