#include "gatewright/likelihood/theory/model_options.h"

#include "gatewright/base/check.h"
#include "gatewright/likelihood/location_scale.h"

namespace gw::likelihood {
namespace {

constexpr double kLargest = 1e6;

void check_length(const std::string& where, const char* name, size_t got, int64_t expected) {
  GW_CHECK(static_cast<int64_t>(got) == expected,
           "{}: expected {} numbers in \"{}\", got {}; one gate bias stands for one expert", where, expected,
           name, got);
}

}  // namespace

void GateOptions::fields(OptionVisitor& v) {
  v.text("kind", kind, "how inputs become weights", {"softmax", "top_k", "dense_to_sparse", "modified"});
  v.text("activation", activation,
         "dense_to_sparse: on scores; modified: on inputs, bounded; gatewright list activations");
  v.integer("top_k", top_k, "top_k: experts active at one input", 1, 1000);
  v.flag("select_with_bias", select_with_bias, "top_k: rank by score with or without the bias");
  v.real("input_scale", input_scale, "modified: inputs are multiplied by this first", 1e-6, kLargest);
}

GateSpec GateOptions::spec() const {
  GateSpec gate;
  gate.kind = gate_kind(kind), gate.activation = gw::likelihood::activation(activation);
  gate.top_k = top_k, gate.select_with_bias = select_with_bias, gate.input_scale = input_scale;
  return gate;
}

void TruthOptions::fields(OptionVisitor& v) {
  v.text("family", family, "law of y given x and the expert", {"gaussian", "multinomial"});
  v.integer("classes", classes, "multinomial: number of classes", 2, 1000);
  v.integer("inputs", inputs, "columns of x", 1, 100000);
  v.table("gate", gate, "kind of gate and its options");
  v.reals("gate_bias", gate_bias, "one number an expert; the last is the reference, usually 0", -kLargest,
          kLargest);
  v.reals("gate_slope", gate_slope, "experts × inputs", -kLargest, kLargest);
  v.reals("intercept", intercept, "experts × outputs", -kLargest, kLargest);
  v.reals("slope", slope, "experts × outputs × inputs", -kLargest, kLargest);
  v.reals("scale", scale, "gaussian: standard deviations, one an expert", 1e-9, kLargest);
  v.real("temperature", temperature, "dense_to_sparse", 1e-9, kLargest);
}

TrueModel true_model(const std::string& where, const TruthOptions& options) {
  TrueModel model;
  model.spec.experts = static_cast<int64_t>(options.gate_bias.size());
  GW_CHECK(model.spec.experts > 0, "{}: expected \"gate_bias\" with one number an expert, got none", where);
  model.spec.family = gw::likelihood::family(options.family);
  model.spec.classes = options.classes;
  model.spec.gate = options.gate->spec();
  check_spec(model.spec, options.inputs);
  auto& p = model.parameters = make_parameters(model.spec, options.inputs);
  check_length(where, "gate_slope", options.gate_slope.size(), p.experts * p.gate_inputs);
  check_length(where, "intercept", options.intercept.size(), p.experts * p.outputs);
  check_length(where, "slope", options.slope.size(), p.experts * p.outputs * p.inputs);
  p.gate_bias = options.gate_bias, p.gate_slope = options.gate_slope, p.intercept = options.intercept,
  p.slope = options.slope;
  p.temperature = options.temperature;
  if (model.spec.family->scaled()) {
    check_length(where, "scale", options.scale.size(), p.experts);
    p.scale = options.scale;
  }
  return model;
}

void FittedOptions::fields(OptionVisitor& v) {
  v.integer("experts", experts, "number of experts; 0: as many as the truth", 0, 64);
  v.table("gate", gate, "kind of gate and its options; absent: the true one");
}

MixtureSpec fitted_model(const std::string& where, const FittedOptions& options, const TrueModel& truth) {
  MixtureSpec spec = truth.spec;
  if (options.experts > 0) spec.experts = options.experts;
  if (!options.gate.empty()) spec.gate = options.gate->spec();
  GW_CHECK(spec.experts >= truth.spec.experts, "{}: expected at least the {} true experts, got {}", where,
           truth.spec.experts, spec.experts);
  check_spec(spec, truth.parameters.inputs);
  return spec;
}

void InputDistributionOptions::fields(OptionVisitor& v) {
  v.text("law", law, "distribution of the inputs", {"uniform", "normal"});
  v.real("lo", lo, "uniform: lower end", -kLargest, kLargest);
  v.real("hi", hi, "uniform: upper end", -kLargest, kLargest);
  v.integer("columns", columns, "independent columns", 1, 100000);
}

InputDistribution input_distribution(const std::string& where, const InputDistributionOptions& options) {
  GW_CHECK(options.lo < options.hi, "{}: expected lo < hi, got {} and {}", where, options.lo, options.hi);
  return {options.law == "normal" ? InputDistribution::Kind::kNormal : InputDistribution::Kind::kUniform,
          options.lo, options.hi, options.columns};
}

void StartNoiseOptions::fields(OptionVisitor& v) {
  v.real("amount", noise.amount, "standard deviation of the noise at n = 1", 0, kLargest);
  v.real("gate_amount", noise.gate_amount, "the same for gates alone; negative: amount", -1, kLargest);
  v.real("power", noise.power, "it falls like n^-power", 0, 10);
  v.real("variance_amount", noise.variance_amount, "the same for variances, which only grow", 0, kLargest);
  v.real("variance_power", noise.variance_power, "they fall like n^-variance_power", 0, 10);
  v.integer("copy_of", noise.copy_of, "true expert that extra experts copy; -1: drawn", -1, 1000);
  v.real("spare_bias", noise.spare_bias, "added to the gate biases of extra experts", -kLargest, kLargest);
  v.real("spare_slope", noise.spare_slope, "added to the gate slopes of extra experts", -kLargest, kLargest);
  v.real("split", noise.split,
         "multinomial: share of a class that a copy and its original trade; their mixture stays", 0, 0.99);
  v.real("ridge", noise.ridge, "gate slopes and temperature are multiplied by this", 1e-3, 1e3);
}

}  // namespace gw::likelihood
