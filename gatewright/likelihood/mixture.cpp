#include "gatewright/likelihood/mixture.h"

#include <cmath>
#include <set>

#include "gatewright/base/check.h"
#include "gatewright/likelihood/family.h"
#include "gatewright/likelihood/gate_form.h"
#include "gatewright/likelihood/shared_part.h"

namespace gw::likelihood {
namespace {

void check_columns(const char* what, const std::optional<std::vector<int64_t>>& columns, int64_t d) {
  if (!columns) return;
  std::set<int64_t> seen;
  for (const int64_t column : *columns) {
    GW_CHECK(column >= 0 && column < d, "fit: expected {} columns in 0 … {}, got {}", what, d - 1, column);
    GW_CHECK(seen.insert(column).second, "fit: {} column {} is named twice", what, column);
  }
}

}  // namespace

const std::string& name_of(const GateKind& kind) { return kind.name(); }
std::string name_of(const Activation& activation) { return activation.text(); }
const std::string& name_of(const Family& family) { return family.name(); }

const Activation Activation::kIdentity("identity"), Activation::kTanh("tanh"),
    Activation::kSigmoid("sigmoid"), Activation::kGelu("gelu");

Activation::Activation(const std::string& text) : ActivationFunction("fit", text) {
  GW_CHECK(!straight_through(), "fit: expected an activation with its own derivative, got {}", name());
}

GateKind gate_kind(const std::string& name) { return GateKind(name); }
Activation activation(const std::string& name) { return Activation(name); }
Family family(const std::string& name) { return Family(name); }

GateKind::GateKind()
    : PartHandle([] {
        static const Entry* const softmax = shared_part<GateForm>("gate", "softmax");
        return softmax;
      }()) {}
GateKind::GateKind(const std::string& name) : PartHandle(shared_part<GateForm>("gate", name)) {}

Family::Family()
    : PartHandle([] {
        static const Entry* const gaussian = shared_part<Density>("family", "gaussian");
        return gaussian;
      }()) {}
Family::Family(const std::string& name) : PartHandle(shared_part<Density>("family", name)) {}

int64_t MixtureSpec::outputs() const { return family->classes() ? classes - 1 : 1; }
int64_t MixtureSpec::coordinates() const { return family->coordinates(outputs()); }

void check_spec(const MixtureSpec& spec, int64_t d) {
  GW_CHECK(spec.experts >= 1 && spec.experts <= 1000, "fit: expected 1 to 1000 experts, got {}",
           spec.experts);
  GW_CHECK(d >= 0, "fit: expected at least 0 columns, got {}", d);
  if (spec.family->classes()) {
    GW_CHECK(spec.classes >= 2 && spec.classes <= 1000,
             "fit: expected 2 to 1000 classes, got {}; is the response a class?", spec.classes);
  }
  check_columns("gate", spec.gate.columns, d);
  check_columns("expert", spec.columns, d);
  spec.gate.kind->check(spec.gate, spec.experts);
}

MixtureParameters make_parameters(const MixtureSpec& spec, int64_t d) {
  check_spec(spec, d);
  MixtureParameters p;
  p.experts = spec.experts, p.gate_inputs = spec.gate_inputs(d), p.inputs = spec.inputs(d),
  p.outputs = spec.outputs();
  const auto zeros = [](int64_t count) { return std::vector<double>(static_cast<size_t>(count), 0.0); };
  p.gate_bias = zeros(p.experts), p.gate_slope = zeros(p.experts * p.gate_inputs);
  p.intercept = zeros(p.experts * p.outputs), p.slope = zeros(p.experts * p.outputs * p.inputs);
  p.scale.assign(static_cast<size_t>(p.experts), 1.0);
  if (const auto shape = spec.family->shape()) p.freedom.assign(static_cast<size_t>(p.experts), shape->start);
  return p;
}

void check_data(const DataView& data, const MixtureSpec& spec) {
  GW_CHECK(data.n >= 1, "fit: expected at least one row, got {}", data.n);
  GW_CHECK(data.y != nullptr && (data.x != nullptr || data.d == 0),
           "fit: expected x and y, got a null pointer");
  double total = 0;
  for (int64_t i = 0; i < data.n; ++i) {
    const double y = data.y[i];
    GW_CHECK(std::isfinite(y), "fit: row {}: the response is {}; leave the row out or fill it in", i + 1, y);
    for (int64_t j = 0; j < data.d; ++j) {
      const double x = data.x[i * data.d + j];
      GW_CHECK(std::isfinite(x),
               "fit: row {}, column {}: expected a finite number, got {}; leave the row out or fill it in",
               i + 1, j + 1, x);
    }
    if (spec.family->classes()) {
      GW_CHECK(y >= 0 && y < static_cast<double>(spec.classes) && y == std::floor(y),
               "fit: row {}: expected a class in 0 … {}, got {}", i + 1, spec.classes - 1, y);
    }
    const double weight = data.weight != nullptr ? data.weight[i] : 1;
    GW_CHECK(std::isfinite(weight) && weight >= 0, "fit: row {}: expected a weight of 0 or more, got {}",
             i + 1, weight);
    total += weight;
  }
  GW_CHECK(total > 0 && std::isfinite(total), "fit: expected weights with a positive, finite sum, got {}",
           total);
}

double rows_per_weight(const DataView& data) {
  if (data.weight == nullptr) return 1;
  bool whole = true;
  int64_t used = 0;
  double total = 0;
  for (int64_t i = 0; i < data.n; ++i) {
    const double weight = data.weight[i];
    whole = whole && weight == std::floor(weight);
    used += weight > 0;
    total += weight;
  }
  return whole ? 1 : static_cast<double>(used) / total;
}

int64_t free_parameters(const MixtureSpec& spec, int64_t d) {
  const int64_t gate = (spec.experts - 1) * (1 + spec.gate_inputs(d)) + (spec.gate.kind->tempered() ? 1 : 0);
  return gate + spec.experts * (spec.outputs() * spec.inputs(d) + spec.coordinates());
}

void pin_last_gate(const MixtureSpec& spec, MixtureParameters& p) {
  const auto k = static_cast<size_t>(p.experts), d = static_cast<size_t>(p.gate_inputs);
  const bool slopes_shift = spec.gate.kind->linear(spec.gate);
  const double bias = p.gate_bias.back();
  const std::vector<double> last(p.gate_slope.end() - static_cast<std::ptrdiff_t>(d), p.gate_slope.end());
  for (size_t e = 0; e < k; ++e) {
    p.gate_bias[e] -= bias;
    for (size_t j = 0; slopes_shift && j < d; ++j) p.gate_slope[e * d + j] -= last[j];
  }
}

}  // namespace gw::likelihood
