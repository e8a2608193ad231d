#include "python/csrc/likelihood/fit_options.h"

#include <algorithm>
#include <limits>

#include "gatewright/likelihood/family.h"
#include "gatewright/likelihood/gate_form.h"
#include "gatewright/likelihood/shared_part.h"

namespace gw::python {
namespace {

const std::vector<std::string> kStarts{"mixed", "small_em", "kmeans", "random"};  // in the order of StartKind
constexpr int64_t kMost = 100000;

}  // namespace

void FitFields::fields(OptionVisitor& v) { model_fields(v), search_fields(v), rule_fields(v); }

void FitFields::model_fields(OptionVisitor& v) {
  v.text("experts", experts, "how many: 3, or 2..6 to compare");
  v.text("family", family, "what an expert's response follows",
         likelihood::part_names<likelihood::Density>());
  v.text("gate", gate, "how inputs become prior probabilities",
         likelihood::part_names<likelihood::GateForm>());
  v.integer("top_k", request.spec.gate.top_k, "top_k: experts active at one input", 1, 1000);
  v.flag("select_with_bias", request.spec.gate.select_with_bias,
         "top_k: rank by bias and slopes, as routers do, or by the slopes alone");
  v.text("activation", activation, "dense_to_sparse, modified: tanh, sigmoid, …");
  v.texts("gate_inputs", gate_inputs, "inputs that the gate sees; absent: all; none: constant gates");
  v.texts("expert_inputs", expert_inputs, "inputs that the experts see; absent: all");
  v.text("criterion", request.criterion, "which of several sizes is kept", {"aic", "bic", "icl", "cv"});
  v.integer("folds", request.folds, "cross-validate in so many folds", 0, kMost);
}

void FitFields::search_fields(OptionVisitor& v) {
  auto& o = request.options;
  v.integer("starts", o.starts, "starts of each fit", 1, kMost);
  v.text("start", start, "how a fit starts", kStarts);
  v.integer("replacements", o.replacements,
            "random lines tried in place of the experts' own after the starts", 0, kMost);
  v.text("gate_solver", gate_solver, "steps of the gate", {"newton", "mm"});
  v.integer("iterations", o.max_iterations, "most iterations of a start", 1,
            std::numeric_limits<int32_t>::max());
  v.real("tolerance", o.tolerance, "relative gain that ends a start", 0, 1);
}

void FitFields::rule_fields(OptionVisitor& v) {
  auto& o = request.options;
  v.text("narrow_experts", narrow_experts, "experts that are narrow by chance", {"refuse", "keep"});
  v.real("least_rows", o.least_rows, "an expert with fewer rows has died; 0: twice its parameters", 0,
         kInfinity);
  v.real("least_scale", o.min_scale, "floor of an expert's scale, in deviations of the response", 0, 1);
  v.real("ridge", o.gate_ridge, "on squared gate slopes of standardised inputs", 0, kInfinity);
  v.real("class_ridge", o.class_ridge, "the same on slopes of classes", 1e-9, kInfinity);
}

void FitFields::resolve(const Json& given) {
  std::tie(request.least_experts, request.most_experts) = likelihood::parse_range(experts);
  request.spec.family = likelihood::family(family);
  request.spec.gate.kind = likelihood::gate_kind(gate);
  request.spec.gate.activation = likelihood::activation(activation);
  if (given.contains("gate_inputs")) request.gate_inputs = gate_inputs;
  if (given.contains("expert_inputs")) request.expert_inputs = expert_inputs;
  auto& o = request.options;
  o.start =
      static_cast<likelihood::StartKind>(std::find(kStarts.begin(), kStarts.end(), start) - kStarts.begin());
  o.narrow_experts =
      narrow_experts == "keep" ? likelihood::NarrowExperts::kKeep : likelihood::NarrowExperts::kRefuse;
  o.gate_solver = gate_solver == "mm" ? likelihood::GateSolver::kMm : likelihood::GateSolver::kNewton;
}

void LassoFields::fields(OptionVisitor& v) {
  v.integer("experts", experts, "how many", 1, 1000);
  v.real("penalty", penalty, "of the slopes; 0: the best of a path by the criterion", 0, kInfinity);
  v.integer("penalties", penalties, "values of the path", 2, 1000);
  v.real("ratio", ratio, "smallest over largest penalty of the path", 1e-9, 1);
  v.text("criterion", criterion, "which penalty of a path is kept", {"aic", "bic"});
  v.real("gate_share", options.gate_share, "penalty of the gates' slopes over that of the experts'", 1e-9,
         kInfinity);
  v.flag("scaled", options.scaled, "penalise an expert's slopes in units of its standard deviation");
  v.real("least_scale", options.min_scale, "floor of an expert's scale, in deviations of the response", 1e-9,
         1);
  v.integer("sweeps", options.sweeps, "of coordinate descent in an iteration", 1, kMost);
  v.integer("starts", options.starts, "paths from different places", 1, kMost);
  v.integer("iterations", options.max_iterations, "most iterations for one penalty", 1,
            std::numeric_limits<int32_t>::max());
  v.real("tolerance", options.tolerance, "gain of the mean log-likelihood that ends a fit", 0, 1);
}

}  // namespace gw::python
