// What every registered family must satisfy: a new one is tested by being there.
#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/location_scale.h"

namespace {

using namespace gw::likelihood;

std::vector<std::string> names() {
  std::vector<std::string> result;
  for (const auto& part : gw::Registry::instance().list(Density::kKind)) result.push_back(part.name);
  return result;
}

class EveryFamily : public testing::TestWithParam<std::string> {
 protected:
  const Family family{GetParam()};
  const LocationScale* law = family->location_scale();
  const int64_t outputs = family->classes() ? 2 : 1;
  const double shape = family->shape() ? 4.5 : 0;
  const double predictor[2] = {0.4, -0.7};
  ExpertAt at() const { return {predictor, outputs, 0.8, shape}; }
  /// The log density where one coordinate is moved.
  double moved(int64_t coordinate, double by, double y) const {
    std::vector<double> p(predictor, predictor + outputs);
    ExpertAt there{p.data(), outputs, 0.8, shape};
    if (coordinate < outputs)
      p[static_cast<size_t>(coordinate)] += by;
    else
      (coordinate == outputs ? there.scale : there.shape) *= std::exp(by);
    return family->log_density(there, y);
  }
  std::vector<double> responses() const {
    return law == nullptr ? std::vector<double>{0, 1, 2} : std::vector<double>{-2.1, 0.1, 0.7, 3};
  }
};

TEST_P(EveryFamily, DerivativesAreThoseOfItsDensity) {
  constexpr double kStep = 1e-4;
  const int64_t count = family->coordinates(outputs);
  std::vector<double> first(static_cast<size_t>(count)), alone(first.size()),
      second(static_cast<size_t>(count * count));
  for (const double y : responses()) {
    family->derivatives(at(), y, first.data(), second.data());
    family->derivatives(at(), y, alone.data(), nullptr);
    EXPECT_EQ(first, alone);
    for (int64_t c = 0; c < count; ++c) {
      const double up = moved(c, kStep, y), down = moved(c, -kStep, y), here = moved(c, 0, y);
      EXPECT_NEAR(first[static_cast<size_t>(c)], (up - down) / (2 * kStep), 1e-6) << y << " " << c;
      EXPECT_NEAR(second[static_cast<size_t>(c * count + c)], (up - 2 * here + down) / (kStep * kStep), 1e-5)
          << y << " " << c;
      for (int64_t d = 0; d < c; ++d)
        EXPECT_EQ(second[static_cast<size_t>(c * count + d)], second[static_cast<size_t>(d * count + c)]);
    }
  }
}

// The classes, or Simpson's rule: the density adds up to 1, and up to a point to the distribution function.
TEST_P(EveryFamily, DensityAddsUpToItsDistribution) {
  if (law == nullptr) {
    double sum = 0;
    for (const double y : responses()) sum += std::exp(family->log_density(at(), y));
    EXPECT_NEAR(sum, 1, 1e-12);
    return;
  }
  constexpr int kSteps = 200000;
  const double from = predictor[0] - 300, to = predictor[0],
               h = (to - from) / kSteps;  // a kink is at the end
  double sum = 0;
  for (int i = 0; i <= kSteps; ++i) {
    const double weight = i == 0 || i == kSteps ? 1 : i % 2 == 1 ? 4 : 2;
    sum += weight * h / 3 * std::exp(family->log_density(at(), from + h * i));
  }
  EXPECT_NEAR(sum, law->cdf(0, shape), 1e-6);
  EXPECT_NEAR(law->constant(0.8, shape) - law->cost(0.5, shape),
              family->log_density(at(), predictor[0] + 0.5 * 0.8), 1e-12);
  EXPECT_EQ(law->kink(), law->pull(1e-300, shape) > 0.5 ? 2 * law->pull(1e-300, shape) : 0);
}

TEST_P(EveryFamily, QuantilesAndDrawsInvertTheDistribution) {
  double counts[3] = {0, 0, 0};
  constexpr int kDraws = 3000;
  for (int i = 0; i < kDraws; ++i) {
    const double u = (i + 0.5) / kDraws, y = family->draw(at(), u);
    if (law == nullptr) {
      counts[static_cast<size_t>(y)] += 1;
      continue;
    }
    EXPECT_NEAR(law->cdf((y - predictor[0]) / 0.8, shape), u, 1e-9);
    EXPECT_NEAR(law->cdf(law->quantile(u, shape), shape), u, 1e-9);
  }
  for (size_t c = 0; law == nullptr && c < 3; ++c)
    EXPECT_NEAR(counts[c] / kDraws, std::exp(family->log_density(at(), static_cast<double>(c))), 1e-3);
}

INSTANTIATE_TEST_SUITE_P(All, EveryFamily, testing::ValuesIn(names()),
                         [](const auto& test) { return test.param; });

}  // namespace
