#include "gatewright/likelihood/local_model.h"

#include <cmath>

#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/family.h"
#include "gatewright/likelihood/gate_form.h"

namespace gw::likelihood {
namespace {

using Kind = FreeParameter::Kind;

/// Linear score b1·x of one gate, before its activation.
double gate_score(const MixtureSpec& spec, const MixtureParameters& p, size_t expert, const double* x) {
  double score = 0;
  for (int64_t j = 0; j < p.gate_inputs; ++j) {
    const int64_t column = spec.gate.columns ? (*spec.gate.columns)[static_cast<size_t>(j)] : j;
    score += p.gate_slope[expert * static_cast<size_t>(p.gate_inputs) + static_cast<size_t>(j)] *
             spec.gate.kind->transformed(spec.gate, x[column]);
  }
  return score;
}

/// Derivatives of the score of gate k.
std::vector<double> score_derivatives(const MixtureSpec& spec, const MixtureParameters& p, size_t k,
                                      const double* x, const std::vector<FreeParameter>& list) {
  const auto& gate = spec.gate;
  const auto& form = *gate.kind;
  const double u = gate_score(spec, p, k, x), factor = form.slope(gate, u) / form.temperature(p);
  std::vector<double> by(list.size(), 0.0);
  for (size_t i = 0; i < list.size(); ++i) {
    const bool own = static_cast<size_t>(list[i].expert) == k;
    if (list[i].kind == Kind::kTemperature) by[i] = -form.value(gate, u) / (p.temperature * p.temperature);
    if (own && list[i].kind == Kind::kGateBias) by[i] = 1;
    if (!own || list[i].kind != Kind::kGateSlope) continue;
    const double v = x[list[i].column];
    by[i] = factor * form.transformed(gate, v);
  }
  return by;
}

std::vector<double> line_derivatives(size_t k, const double* x, const std::vector<FreeParameter>& list) {
  std::vector<double> by(list.size(), 0.0);
  for (size_t i = 0; i < list.size(); ++i) {
    if (static_cast<size_t>(list[i].expert) != k) continue;
    if (list[i].kind == Kind::kIntercept) by[i] = 1;
    if (list[i].kind == Kind::kSlope) by[i] = x[list[i].column];
  }
  return by;
}

}  // namespace

double LocalModel::mean() const {
  double sum = 0;
  for (size_t k = 0; k < gate.size(); ++k) sum += gate[k] * line[k];
  return sum;
}

std::vector<double> LocalModel::mean_by_score() const {
  const double at = mean();
  std::vector<double> by(gate.size());
  for (size_t k = 0; k < gate.size(); ++k) by[k] = gate[k] * (line[k] - at);
  return by;
}

std::vector<double> LocalModel::mean_by() const {
  const auto by_score = mean_by_score();
  std::vector<double> by(line_by.front().size(), 0.0);
  for (size_t k = 0; k < gate.size(); ++k) {
    for (size_t i = 0; i < by.size(); ++i) by[i] += by_score[k] * score_by[k][i] + gate[k] * line_by[k][i];
  }
  return by;
}

LocalModel local_model(const MixtureSpec& spec, const MixtureParameters& p, const double* x,
                       const std::vector<FreeParameter>& list) {
  LocalModel at;
  at.gate.resize(static_cast<size_t>(p.experts));
  log_gates(spec, p, x, at.gate.data());
  for (auto& value : at.gate) value = std::exp(value);
  if (spec.family->classes()) return at;
  for (size_t k = 0; k < at.gate.size(); ++k) {
    expert_predictors(spec, p, static_cast<int64_t>(k), x, &at.line.emplace_back());
    at.score_by.push_back(score_derivatives(spec, p, k, x, list));
    at.line_by.push_back(line_derivatives(k, x, list));
  }
  return at;
}

std::vector<double> by_factor(const std::vector<double>& gradient, const Inference& inference) {
  const size_t size = gradient.size();
  std::vector<double> by(size, 0.0);
  for (size_t i = 0; i < size; ++i) {
    for (size_t k = 0; k < size; ++k) by[k] += gradient[i] * inference.factor[i * size + k];
  }
  return by;
}

std::optional<double> delta_error(const std::vector<double>& gradient, const Inference& inference) {
  double variance = 0;
  for (const double part : by_factor(gradient, inference)) variance += part * part;
  const double error = std::sqrt(variance);
  for (const auto& direction : inference.undetermined) {
    double part = 0;
    for (size_t i = 0; i < gradient.size(); ++i) part += gradient[i] * direction[i];
    if (!(std::abs(part) <= 1e-3 * error)) return std::nullopt;
  }
  return error > 0 && std::isfinite(error) ? std::optional(error) : std::nullopt;
}

}  // namespace gw::likelihood
