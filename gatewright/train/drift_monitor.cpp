#include "gatewright/train/drift_monitor.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/ops/random.h"

namespace gw::inline train {
namespace {

constexpr int64_t kStreams = 20000;
constexpr double kLeastDeviation = 1e-12;  // a reference of equal numbers: any other is a change

double simulated_threshold(const DriftOptions& o) {
  const auto rng = Rng(0).fork("train/drift_monitor");
  const auto reference = ops::normal(rng.fork("reference"), {o.reference, kStreams}, 0, 1).to(at::kDouble);
  const auto mean = reference.mean(0), deviation = reference.std(0, /*unbiased=*/true);
  auto statistic = at::zeros({kStreams}, at::kDouble), largest = at::full({kStreams}, -1e300, at::kDouble);
  for (int64_t t = 0; t < o.horizon; ++t) {
    const auto v =
        ops::normal(rng.fork("window", static_cast<uint64_t>(t)), {kStreams}, 0, 1).to(at::kDouble);
    statistic = statistic * (1 - o.forget) + (v - mean) / deviation * o.forget;
    largest = at::maximum(largest, o.two_sided ? statistic.abs() : statistic);
  }
  const auto sorted = std::get<0>(largest.sort());
  const auto place = std::ceil((1 - o.level) * static_cast<double>(kStreams));
  return sorted[std::min<int64_t>(static_cast<int64_t>(place), kStreams - 1)].item<double>();
}

}  // namespace

DriftMonitor::DriftMonitor(const DriftOptions& options)
    : options_(options), threshold_(simulated_threshold(options)) {}

void DriftMonitor::reset() {
  statistic_ = mean_ = deviation_ = 0;
  reference_.clear();
}

double DriftMonitor::usual() const {
  return static_cast<int64_t>(reference_.size()) < options_.reference
             ? std::numeric_limits<double>::quiet_NaN()
             : mean_;
}

bool DriftMonitor::add(double value) {
  GW_CHECK(std::isfinite(value), "drift_monitor: expected finite numbers, got {}", value);
  if (static_cast<int64_t>(reference_.size()) < options_.reference) {
    reference_.push_back(value);
    const auto n = static_cast<double>(reference_.size());
    double squares = 0;
    mean_ = 0;
    for (const double one : reference_) mean_ += one / n;
    for (const double one : reference_) squares += (one - mean_) * (one - mean_);
    deviation_ = std::max(std::sqrt(squares / std::max(n - 1, 1.0)), kLeastDeviation);
    return false;
  }
  statistic_ = statistic_ * (1 - options_.forget) + (value - mean_) / deviation_ * options_.forget;
  return (options_.two_sided ? std::abs(statistic_) : statistic_) > threshold_;
}

}  // namespace gw::inline train
