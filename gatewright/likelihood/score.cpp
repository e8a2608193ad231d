#include "gatewright/likelihood/score.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "gatewright/likelihood/chunks.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/family.h"
#include "gatewright/likelihood/gate_form.h"

namespace gw::likelihood {
namespace {

int64_t source_column(const std::optional<std::vector<int64_t>>& columns, int64_t j) {
  return columns ? (*columns)[static_cast<size_t>(j)] : j;
}

/// Derivatives of the gates' part: a_k = posterior - prior times the derivative of score k. Returns the next
/// free place.
double* score_gates(const MixtureSpec& spec, const MixtureParameters& p, const double* x,
                    const double* posterior_minus_prior, double* out) {
  const auto& gate = spec.gate;
  const auto& form = *gate.kind;
  const bool tempered = form.tempered(), curved = tempered || !form.linear(gate),
             transforms = form.transforms();
  double by_temperature = 0;
  for (int64_t k = 0; k < p.experts; ++k) {
    double factor = 1;
    if (curved) {
      double u = 0;
      for (int64_t j = 0; j < p.gate_inputs; ++j)
        u += p.gate_slope[static_cast<size_t>(k * p.gate_inputs + j)] *
             form.transformed(gate, x[source_column(gate.columns, j)]);
      factor = form.slope(gate, u) / form.temperature(p);
      by_temperature -= posterior_minus_prior[k] * form.value(gate, u) / p.temperature;
    }
    if (k + 1 == p.experts) break;
    *out++ = posterior_minus_prior[k];
    for (int64_t j = 0; j < p.gate_inputs; ++j) {
      double v = x[source_column(gate.columns, j)];
      if (transforms) v = form.transformed(gate, v);
      *out++ = posterior_minus_prior[k] * factor * v;
    }
  }
  if (tempered) *out++ = by_temperature;
  return out;
}

double* score_expert(const MixtureSpec& spec, const MixtureParameters& p, int64_t k, const double* x,
                     double y, double posterior, double* out) {
  std::vector<double> predictor(static_cast<size_t>(p.outputs));
  expert_predictors(spec, p, k, x, predictor.data());
  const auto outputs = static_cast<size_t>(p.outputs);
  std::vector<double> by(static_cast<size_t>(spec.coordinates()));
  spec.family->derivatives(expert_at(p, k, predictor.data()), y, by.data(), nullptr);
  for (size_t s = 0; s < outputs; ++s) {
    *out++ = posterior * by[s];
    for (int64_t j = 0; j < p.inputs; ++j) *out++ = posterior * by[s] * x[source_column(spec.columns, j)];
  }
  for (size_t c = outputs; c < by.size(); ++c) *out++ = posterior * by[c];
  return out;
}

}  // namespace

void score(const MixtureSpec& spec, const MixtureParameters& p, const double* x, double y, double* out) {
  std::vector<double> posterior(static_cast<size_t>(p.experts)), posterior_minus_prior(posterior.size());
  log_gates(spec, p, x, posterior_minus_prior.data());
  log_density(spec, p, x, y, posterior.data());
  for (size_t k = 0; k < posterior.size(); ++k)
    posterior_minus_prior[k] = posterior[k] - std::exp(posterior_minus_prior[k]);
  out = score_gates(spec, p, x, posterior_minus_prior.data(), out);
  for (int64_t k = 0; k < p.experts; ++k)
    out = score_expert(spec, p, k, x, y, posterior[static_cast<size_t>(k)], out);
}

ScoreSums score_sums(const MixtureSpec& spec, const MixtureParameters& p, const DataView& data,
                     Products products) {
  const auto size = static_cast<size_t>(free_parameters(spec, data.d));
  const size_t square = products == Products::kNone ? 0 : size * size;
  const Chunks chunks(data.n);
  std::vector<ScoreSums> parts(static_cast<size_t>(chunks.count()));
  parallel_for(chunks.count(), [&](int64_t c) {
    auto& part = parts[static_cast<size_t>(c)];
    part = {std::vector<double>(size, 0.0), std::vector<double>(square, 0.0)};
    std::vector<double> s(size);
    for (int64_t i = chunks.begin(c); i < chunks.end(c); ++i) {
      const double weight = data.weight != nullptr ? data.weight[i] : 1;
      if (weight == 0) continue;
      score(spec, p, data.x + i * data.d, data.y[i], s.data());
      for (size_t a = 0; a < size; ++a) {
        part.gradient[a] += weight * s[a];
        const double factor = s[a] * weight;
        for (size_t b = 0; square > 0 && b <= a; ++b) part.outer[a * size + b] += factor * s[b];
      }
    }
  });
  ScoreSums total = std::move(parts.front());
  for (size_t c = 1; c < parts.size(); ++c) {
    for (size_t a = 0; a < size; ++a) total.gradient[a] += parts[c].gradient[a];
    for (size_t a = 0; a < square; ++a) total.outer[a] += parts[c].outer[a];
  }
  for (size_t a = 0; square > 0 && a < size; ++a) {
    for (size_t b = 0; b < a; ++b) total.outer[b * size + a] = total.outer[a * size + b];
  }
  return total;
}

}  // namespace gw::likelihood
