#include "gatewright/train/interval.h"

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/distributions.h"
#include "gatewright/base/rng.h"

namespace gw::inline train {
namespace {

constexpr uint64_t kResamples = 10000;

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

}  // namespace

double student_quantile(double p, int freedom) {
  GW_CHECK(
      p > 0 && p < 1 && freedom >= 1,
      "student quantile: expected a probability between 0 and 1 and at least 1 degree of freedom, got {} "
      "and {}",
      p, freedom);
  return base::student_quantile(p, static_cast<double>(freedom));
}

double lower_by_t(const std::vector<double>& values, double confidence) {
  GW_CHECK(values.size() >= kLeastForT, "t interval: expected at least {} values, got {}", kLeastForT,
           values.size());
  const double n = static_cast<double>(values.size()), mean = mean_of(values);
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  const double error = std::sqrt(squares / (n - 1) / n);
  return mean - student_quantile(confidence, static_cast<int>(values.size()) - 1) * error;
}

double lower_by_bootstrap(const std::vector<double>& values, double confidence) {
  GW_CHECK(values.size() >= kLeastForBootstrap, "bootstrap: expected at least {} values, got {}",
           kLeastForBootstrap, values.size());
  const Rng rng = Rng(0).fork("bootstrap");
  std::vector<double> means;
  uint64_t draw = 0;
  for (uint64_t i = 0; i < kResamples; ++i) {
    double sum = 0;
    for (size_t k = 0; k < values.size(); ++k) sum += values[rng.below(draw++, values.size())];
    means.push_back(sum / static_cast<double>(values.size()));
  }
  const auto place = static_cast<std::ptrdiff_t>((1 - confidence) * static_cast<double>(kResamples - 1));
  std::nth_element(means.begin(), means.begin() + place, means.end());
  return means[static_cast<size_t>(place)];
}

}  // namespace gw::inline train
