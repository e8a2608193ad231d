#include "gatewright/likelihood/predict.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/base/distributions.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/local_model.h"
#include "gatewright/likelihood/location_scale.h"
#include "gatewright/likelihood/small_sample.h"

namespace gw::likelihood {
namespace {

/// Experts as they are predicted from: noise and the uncertainty of line and scale together.
struct Widened {
  MixtureSpec spec;
  MixtureParameters parameters;
};

/// Line and noise of an expert together: its scale grows by what its line is uncertain at x, and by the rows
/// over its degrees of freedom (gatewright/likelihood/small_sample.h).
Widened widen(const MixtureSpec& spec, const MixtureParameters& p, const LocalModel& at,
              const Inference& inference) {
  Widened result{spec, p};
  const auto& law = *spec.family->location_scale();
  const bool normal = law.least_squares();
  if (normal) result.spec.family = Family("student_t"), result.parameters.freedom.assign(p.scale.size(), 1e6);
  for (size_t k = 0; k < p.scale.size(); ++k) {
    const auto small = small_sample(spec, p, inference, static_cast<int64_t>(k));
    if (!small) continue;
    const double noise = law.variance(shape_of(p, k));
    const double shift = delta_error(at.line_by[k], inference).value_or(0) / p.scale[k];
    result.parameters.scale[k] *= small->factor * std::sqrt(1 + shift * shift / noise);
    if (normal) result.parameters.freedom[k] = small->freedom;
  }
  return result;
}

void predict_classes(const MixtureSpec& spec, const MixtureParameters& p, const double* x, Prediction& out) {
  for (int64_t s = 0; s < spec.classes; ++s)
    out.classes.push_back(std::exp(log_density(spec, p, x, static_cast<double>(s))));
  out.mean =
      static_cast<double>(std::max_element(out.classes.begin(), out.classes.end()) - out.classes.begin());
}

}  // namespace

double mixture_cdf(const MixtureSpec& spec, const MixtureParameters& p, const double* x, double at) {
  std::vector<double> gate(static_cast<size_t>(p.experts));
  log_gates(spec, p, x, gate.data());
  const auto& law = *spec.family->location_scale();
  double sum = 0, mean = 0;
  for (int64_t k = 0; k < p.experts; ++k) {
    const auto e = static_cast<size_t>(k);
    expert_predictors(spec, p, k, x, &mean);
    sum += std::exp(gate[e]) * law.cdf((at - mean) / p.scale[e], shape_of(p, e));
  }
  return sum;
}

double mixture_quantile(const MixtureSpec& spec, const MixtureParameters& p, const double* x,
                        double probability) {
  GW_CHECK(probability > 0 && probability < 1, "fit: expected a probability between 0 and 1, got {}",
           probability);
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity(),
         widest = 0, mean = 0;
  for (int64_t k = 0; k < p.experts; ++k) {
    expert_predictors(spec, p, k, x, &mean);
    low = std::min(low, mean), high = std::max(high, mean),
    widest = std::max(widest, p.scale[static_cast<size_t>(k)]);
  }
  while (mixture_cdf(spec, p, x, low) > probability) low -= widest, widest *= 2;
  while (mixture_cdf(spec, p, x, high) < probability) high += widest, widest *= 2;
  for (int i = 0; i < 200 && high - low > 1e-12 * (std::abs(low) + std::abs(high)); ++i) {
    const double middle = 0.5 * (low + high);
    (mixture_cdf(spec, p, x, middle) < probability ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

Prediction predict(const MixtureSpec& spec, const MixtureParameters& p, const double* x, double level,
                   const Inference* inference, const PredictionParts& parts) {
  GW_CHECK(level > 0 && level < 1, "fit: expected a level between 0 and 1, got {}", level);
  Prediction out;
  const bool slopes = inference != nullptr && (parts.interval || parts.mean_interval);
  const auto at = local_model(spec, p, x, slopes ? inference->parameter : std::vector<FreeParameter>{});
  out.gate = at.gate;
  if (spec.family->classes()) {
    predict_classes(spec, p, x, out);
    return out;
  }
  out.expert = at.line;
  out.mean = at.mean();
  if (parts.interval) {
    const auto from = inference != nullptr ? widen(spec, p, at, *inference) : Widened{spec, p};
    out.low = mixture_quantile(from.spec, from.parameters, x, (1 - level) / 2);
    out.high = mixture_quantile(from.spec, from.parameters, x, (1 + level) / 2);
  }
  if (inference == nullptr || !parts.mean_interval) return out;
  out.mean_error = delta_error(at.mean_by(), *inference);
  if (out.mean_error) out.mean_interval = mean_interval(spec, p, at, level, *inference);
  return out;
}

}  // namespace gw::likelihood
