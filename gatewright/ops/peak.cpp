#include "gatewright/ops/peak.h"

#include <algorithm>
#include <cstring>

#include "gatewright/kernels/peak/peak.h"
#include "gatewright/ops/thread_pool.h"

namespace gw::ops {
namespace {

constexpr int64_t kTurns = 700'000;  // 3 to 5 ms
constexpr int64_t kReadBytes = int64_t{512} << 20, kParts = 4;

template <class Choose>
Peaks each_of(const std::vector<Peaks>& rounds, const Choose& choose) {
  Peaks result;
  for (const auto member :
       {&Peaks::f32, &Peaks::bf16, &Peaks::int8, &Peaks::int4, &Peaks::f32_fed, &Peaks::read}) {
    std::vector<double> values;
    for (const auto& round : rounds) values.push_back(round.*member);
    std::sort(values.begin(), values.end());
    if (!values.empty()) result.*member = choose(values);
  }
  return result;
}

}  // namespace

PeakProbe::PeakProbe(std::function<double()> now_s)
    : now_s_(std::move(now_s)),
      memory_(std::make_shared<Workspace>()),
      bytes_(static_cast<char*>(memory_->take(kReadBytes))) {
  std::memset(bytes_, 1, static_cast<size_t>(kReadBytes));
}

Peaks PeakProbe::once() {
  const auto table = kernels::peak_table();
  return {operations(table.f32),  operations(table.bf16),    operations(table.int8),
          operations(table.int4), operations(table.f32_fed), reading()};
}

double PeakProbe::operations(int64_t (*loop)(int64_t)) const {
  if (loop == nullptr) return 0;
  TorchPool pool;
  std::vector<int64_t> done(static_cast<size_t>(pool.workers()));
  const double start = now_s_();
  pool.run(pool.workers(), [&](int64_t task, int) { done[static_cast<size_t>(task)] = loop(kTurns); });
  const double seconds = now_s_() - start;
  int64_t all = 0;
  for (const auto n : done) all += n;
  return static_cast<double>(all) / seconds * 1e-9;
}

double PeakProbe::reading() {
  const auto read = kernels::peak_table().read;
  TorchPool pool;
  const int64_t tasks = pool.workers() * 4, bytes = kReadBytes / kParts, each = bytes / tasks / 256 * 256;
  const char* from = bytes_ + next_++ % kParts * bytes;
  std::vector<uint64_t> seen(static_cast<size_t>(tasks));  // kept, so that the reads are
  const double start = now_s_();
  pool.run(tasks,
           [&](int64_t task, int) { seen[static_cast<size_t>(task)] += read(from + task * each, each); });
  return static_cast<double>(tasks * each) / (now_s_() - start) * 1e-9;
}

Peaks median(const std::vector<Peaks>& rounds) {
  return each_of(rounds, [](const std::vector<double>& sorted) { return sorted[sorted.size() / 2]; });
}

Peaks best(const std::vector<Peaks>& rounds) {
  return each_of(rounds, [](const std::vector<double>& sorted) { return sorted.back(); });
}

}  // namespace gw::ops
