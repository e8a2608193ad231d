#pragma once
// The cases of tests/likelihood/golden/information.json: every family with every gate near a maximum, and
// what 50-digit arithmetic says of them (tests/likelihood/make_information_golden.py).
#include <cmath>
#include <string>
#include <vector>

#include "gatewright/base/json_text.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/inference.h"

namespace gw::test {

struct GoldenCase {
  likelihood::MixtureSpec spec;
  likelihood::MixtureParameters parameters;
  std::vector<double> x, y, weight;  ///< two columns; weight is empty without weights
  std::string name;

  likelihood::DataView view() const {
    return {static_cast<int64_t>(y.size()), 2, x.data(), y.data(), weight.empty() ? nullptr : weight.data()};
  }
  /// What a fit that ended at `parameters` would hand on.
  likelihood::FitResult fit() const {
    likelihood::FitResult result;
    result.spec = spec, result.parameters = parameters;
    result.n = view().n, result.d = 2, result.weight = weight.empty() ? static_cast<double>(result.n) : 0;
    for (const double each : weight) result.weight += each;
    result.log_likelihood = likelihood::log_likelihood(spec, parameters, view());
    return result;
  }
};

/// Without weights a row stands `times` times in the table.
inline GoldenCase golden_case(const Json& json, bool weighted) {
  using namespace likelihood;
  GoldenCase result;
  auto& spec = result.spec;
  const std::string gate = json["gate"], activation_name = json["activation"];
  spec.family = family(json["family"].get<std::string>()), spec.experts = json["experts"], spec.classes = 3;
  spec.gate.kind = gate_kind(gate == "top_k_without_bias" ? "top_k" : gate);
  spec.gate.top_k = 2, spec.gate.select_with_bias = gate != "top_k_without_bias", spec.gate.input_scale = 0.8;
  spec.gate.activation = activation(activation_name), spec.gate.columns = std::vector<int64_t>{0};
  if (spec.family == Family("multinomial")) spec.columns = std::vector<int64_t>{1};
  result.name =
      json["family"].get<std::string>() + " " + gate + " " + activation_name + (weighted ? " weighted" : "");
  const auto list = free_parameter_list(spec, 2);
  auto values = json["parameters"].get<std::vector<double>>();
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = list.at(i).logarithmic() ? std::log(values[i]) : values[i];
  result.parameters = from_vector(spec, 2, values);
  for (size_t i = 0; i < json["y"].size(); ++i) {
    const int copies = weighted ? 1 : json["times"][i].get<int>();
    for (int copy = 0; copy < copies; ++copy) {
      result.x.push_back(json["x"][i][0]), result.x.push_back(json["x"][i][1]),
          result.y.push_back(json["y"][i]);
      if (weighted) result.weight.push_back(json["weight"][i]);
    }
  }
  return result;
}

/// Calls body(case, expected numbers) for all of them, without and with weights.
template <class Body>
void for_each_golden(Body body) {
  static const auto cases = [] {
    return read_json(std::string(GW_SOURCE_ROOT) + "tests/likelihood/golden/information.json");
  }();
  for (const auto& json : cases) {
    for (const bool weighted : {false, true})
      body(golden_case(json, weighted), json[weighted ? "weighted" : "plain"]);
  }
}

}  // namespace gw::test
