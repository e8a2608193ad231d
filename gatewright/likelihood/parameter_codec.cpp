#include "gatewright/likelihood/parameter_codec.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "gatewright/likelihood/family.h"
#include "gatewright/likelihood/gate_form.h"

namespace gw::likelihood {
namespace {

using Kind = FreeParameter::Kind;

int64_t source_column(const std::optional<std::vector<int64_t>>& columns, int64_t j) {
  return columns ? (*columns)[static_cast<size_t>(j)] : j;
}

/// The temperature last, all else as in the order of kinds.
int rank(Kind kind) {
  return kind == Kind::kTemperature ? static_cast<int>(Kind::kFreedom) + 1 : static_cast<int>(kind);
}

}  // namespace

ParameterCodec::ParameterCodec(const MixtureSpec& spec, int64_t d, LastGate last, Order order) {
  const int64_t gate_inputs = spec.gate_inputs(d), inputs = spec.inputs(d), outputs = spec.outputs();
  for (int64_t k = 0; k < spec.experts; ++k) {
    const bool pinned = k + 1 == spec.experts && last != LastGate::kWhole;
    if (!pinned) add({Kind::kGateBias, k}, &MixtureParameters::gate_bias, k);
    if (pinned && last == LastGate::kPinned) continue;
    for (int64_t j = 0; j < gate_inputs; ++j)
      add({Kind::kGateSlope, k, 0, source_column(spec.gate.columns, j)}, &MixtureParameters::gate_slope,
          k * gate_inputs + j);
  }
  if (spec.gate.kind->tempered()) add({Kind::kTemperature}, nullptr, 0);
  for (int64_t k = 0; k < spec.experts; ++k) {
    for (int64_t s = 0; s < outputs; ++s) {
      const int64_t row = k * outputs + s;
      add({Kind::kIntercept, k, s}, &MixtureParameters::intercept, row);
      for (int64_t j = 0; j < inputs; ++j)
        add({Kind::kSlope, k, s, source_column(spec.columns, j)}, &MixtureParameters::slope,
            row * inputs + j);
    }
    if (spec.family->scaled()) add({Kind::kScale, k}, &MixtureParameters::scale, k);
    if (spec.family->shape()) add({Kind::kFreedom, k}, &MixtureParameters::freedom, k);
  }
  if (order == Order::kByKind) sort_by_kind();
}

void ParameterCodec::add(const FreeParameter& parameter, List list, int64_t index) {
  list_.push_back(parameter);
  places_.push_back({list, static_cast<size_t>(index)});
}

void ParameterCodec::sort_by_kind() {
  std::vector<size_t> order(size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return rank(list_[a].kind) < rank(list_[b].kind); });
  const auto list = list_;
  const auto places = places_;
  for (size_t i = 0; i < order.size(); ++i) list_[i] = list[order[i]], places_[i] = places[order[i]];
}

std::vector<double> ParameterCodec::encode(const MixtureParameters& p) const {
  std::vector<double> values(size());
  for (size_t i = 0; i < values.size(); ++i) {
    const auto& place = places_[i];
    const double value = place.list == nullptr ? p.temperature : (p.*place.list)[place.index];
    values[i] = list_[i].logarithmic() ? std::log(value) : value;
  }
  return values;
}

void ParameterCodec::decode(const std::vector<double>& values, MixtureParameters& p) const {
  for (size_t i = 0; i < values.size(); ++i) {
    const auto& place = places_[i];
    double& value = place.list == nullptr ? p.temperature : (p.*place.list)[place.index];
    value = list_[i].logarithmic() ? std::exp(values[i]) : values[i];
  }
}

std::vector<FreeParameter> free_parameter_list(const MixtureSpec& spec, int64_t d) {
  return ParameterCodec(spec, d).list();
}

std::vector<double> to_vector(const MixtureSpec& spec, const MixtureParameters& parameters) {
  MixtureParameters p = parameters;
  pin_last_gate(spec, p);
  return ParameterCodec(spec, std::max(p.inputs, p.gate_inputs)).encode(p);
}

MixtureParameters from_vector(const MixtureSpec& spec, int64_t d, const std::vector<double>& values) {
  MixtureParameters p = make_parameters(spec, d);
  ParameterCodec(spec, d).decode(values, p);
  return p;
}

}  // namespace gw::likelihood
