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

using Kind = FreeParameter::Kind;

int64_t source_column(const std::optional<std::vector<int64_t>>& columns, int64_t j) {
  return columns ? (*columns)[static_cast<size_t>(j)] : j;
}

/// The entry of `parameters` that a free parameter stands for.
double& entry(const MixtureSpec& spec, MixtureParameters& p, const FreeParameter& free,
              int64_t index_in_row) {
  const auto at = [](int64_t i) { return static_cast<size_t>(i); };
  const int64_t row = free.expert * p.outputs + free.output;
  switch (free.kind) {
    case Kind::kGateBias:
      return p.gate_bias[at(free.expert)];
    case Kind::kGateSlope:
      return p.gate_slope[at(free.expert * p.gate_inputs + index_in_row)];
    case Kind::kTemperature:
      return p.temperature;
    case Kind::kIntercept:
      return p.intercept[at(row)];
    case Kind::kSlope:
      return p.slope[at(row * p.inputs + index_in_row)];
    case Kind::kScale:
      return p.scale[at(free.expert)];
    default:
      return p.freedom[at(free.expert)];
  }
}

/// Visits every free parameter with its entry.
template <class Visit>
void visit(const MixtureSpec& spec, int64_t d, MixtureParameters& p, Visit body) {
  const auto list = free_parameter_list(spec, d);
  int64_t index = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    const bool slope = list[i].kind == Kind::kGateSlope || list[i].kind == Kind::kSlope;
    index = slope ? index : 0;
    body(i, list[i], entry(spec, p, list[i], index));
    index = slope ? index + 1 : 0;
  }
}

/// Derivatives of the gates' part: a_k = posterior - prior times the derivative of score k. Returns the next
/// free place.
double* score_gates(const MixtureSpec& spec, const MixtureParameters& p, const double* x,
                    const double* surprise, double* out) {
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
      by_temperature -= surprise[k] * form.value(gate, u) / p.temperature;
    }
    if (k + 1 == p.experts) break;
    *out++ = surprise[k];
    for (int64_t j = 0; j < p.gate_inputs; ++j) {
      double v = x[source_column(gate.columns, j)];
      if (transforms) v = form.transformed(gate, v);
      *out++ = surprise[k] * factor * v;
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

std::vector<FreeParameter> free_parameter_list(const MixtureSpec& spec, int64_t d) {
  std::vector<FreeParameter> list;
  for (int64_t k = 0; k + 1 < spec.experts; ++k) {
    list.push_back({Kind::kGateBias, k});
    for (int64_t j = 0; j < spec.gate_inputs(d); ++j)
      list.push_back({Kind::kGateSlope, k, 0, source_column(spec.gate.columns, j)});
  }
  if (spec.gate.kind->tempered()) list.push_back({Kind::kTemperature});
  for (int64_t k = 0; k < spec.experts; ++k) {
    for (int64_t s = 0; s < spec.outputs(); ++s) {
      list.push_back({Kind::kIntercept, k, s});
      for (int64_t j = 0; j < spec.inputs(d); ++j)
        list.push_back({Kind::kSlope, k, s, source_column(spec.columns, j)});
    }
    if (spec.family->scaled()) list.push_back({Kind::kScale, k});
    if (spec.family->shape()) list.push_back({Kind::kFreedom, k});
  }
  return list;
}

std::vector<double> to_vector(const MixtureSpec& spec, const MixtureParameters& parameters) {
  MixtureParameters p = parameters;
  pin_last_gate(spec, p);
  const int64_t d = std::max(p.inputs, p.gate_inputs);
  std::vector<double> values;
  visit(spec, d, p, [&](size_t, const FreeParameter& free, double& value) {
    values.push_back(free.logarithmic() ? std::log(value) : value);
  });
  return values;
}

MixtureParameters from_vector(const MixtureSpec& spec, int64_t d, const std::vector<double>& values) {
  MixtureParameters p = make_parameters(spec, d);
  visit(spec, d, p, [&](size_t i, const FreeParameter& free, double& value) {
    value = free.logarithmic() ? std::exp(values[i]) : values[i];
  });
  return p;
}

void score(const MixtureSpec& spec, const MixtureParameters& p, const double* x, double y, double* out) {
  std::vector<double> posterior(static_cast<size_t>(p.experts)), surprise(posterior.size());
  log_gates(spec, p, x, surprise.data());
  log_density(spec, p, x, y, posterior.data());
  for (size_t k = 0; k < posterior.size(); ++k) surprise[k] = posterior[k] - std::exp(surprise[k]);
  out = score_gates(spec, p, x, surprise.data(), out);
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
