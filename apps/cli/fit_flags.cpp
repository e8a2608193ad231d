#include "apps/cli/fit_flags.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "apps/cli/command.h"
#include "gatewright/likelihood/family.h"
#include "gatewright/likelihood/gate_form.h"
#include "gatewright/likelihood/shared_part.h"

namespace gw {
namespace {

const std::vector<std::string> kStarts{"mixed", "small_em", "kmeans", "random"};  // in the order of StartKind

/// "gaussian, laplace, …": what a new part of the catalogue adds to by itself.
template <class Part>
std::string names_of() {
  return fmt::format("{}", fmt::join(likelihood::part_names<Part>(), ", "));
}

}  // namespace

void FitFlags::declare(CLI::App& app) {
  declare_table(app), declare_model(app), declare_comparison(app);
  declare_starts(app), declare_rules(app), declare_iterations(app);
  declare_output(app);
}

void FitFlags::declare_table(CLI::App& app) {
  app.add_option("data", data, "table with a header (.csv, .csv.gz)")->required();
  app.add_option("--response", request.frame.response, "column to be explained")->required();
  app.add_option("--inputs", request.frame.inputs, "columns that explain; default: all others");
  app.add_option("--gate-inputs", gate_inputs_,
                 "inputs that the gate sees; default: all; none for constant gates");
  app.add_option("--expert-inputs", expert_inputs_, "inputs that the experts see; default: all");
  app.add_option("--factor", request.frame.factors, "columns of numbers to be taken as factors");
  app.add_option("--weights", request.frame.weights, "column of weights");
  app.add_option("--missing", missing_, "rows with missing values: refuse or drop")
      ->check(CLI::IsMember({"refuse", "drop"}))
      ->capture_default_str();
  csv.declare(app);
}

void FitFlags::declare_model(CLI::App& app) {
  app.add_option("--experts", experts_, "how many: 3, or 2..6 to compare")->capture_default_str();
  app.add_option("--gate", gate_, names_of<likelihood::GateForm>())->capture_default_str();
  app.add_option("--top-k", request.spec.gate.top_k, "top_k: experts active at one input")
      ->capture_default_str();
  app.add_flag("--select-without-bias", select_without_bias_, "top_k: rank by the slopes alone");
  app.add_option("--activation", activation_,
                 "dense_to_sparse, modified: tanh, sigmoid, …; gatewright list activations")
      ->capture_default_str();
  app.add_option("--family", family_, names_of<likelihood::Density>())->capture_default_str();
}

void FitFlags::declare_comparison(CLI::App& app) {
  app.add_option("--criterion", request.criterion, "aic, bic, icl, cv: which of several sizes is kept")
      ->capture_default_str();
  app.add_option("--folds", request.folds, "cross-validate in so many folds")->check(at_least_zero);
}

void FitFlags::declare_starts(CLI::App& app) {
  app.add_option("--starts", request.options.starts, "starts of each fit")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--start", start_, "mixed, small_em, kmeans, random")
      ->check(CLI::IsMember(kStarts))
      ->capture_default_str();
  app.add_option("--replacements", request.options.replacements,
                 "random lines tried in place of the experts' own after the starts")
      ->check(at_least_zero)
      ->capture_default_str();
}

void FitFlags::declare_rules(CLI::App& app) {
  app.add_option("--narrow-experts", narrow_,
                 "experts that are narrow by chance: refuse, or keep as plain maximum likelihood does")
      ->check(CLI::IsMember({"refuse", "keep"}))
      ->capture_default_str();
  app.add_option("--least-rows", request.options.least_rows,
                 "an expert with fewer rows has died; 0: twice its parameters")
      ->check(at_least_zero)
      ->capture_default_str();
  app.add_option("--least-scale", request.options.min_scale,
                 "floor of an expert's scale, in deviations of the response")
      ->capture_default_str();
}

void FitFlags::declare_iterations(CLI::App& app) {
  app.add_option("--gate-solver", solver_, "newton, mm")
      ->check(CLI::IsMember({"newton", "mm"}))
      ->capture_default_str();
  app.add_option("--iterations", request.options.max_iterations, "most iterations of a start")
      ->check(above_zero)
      ->capture_default_str();
  app.add_option("--tolerance", request.options.tolerance, "relative gain that ends a start")
      ->capture_default_str();
  app.add_option("--ridge", request.options.gate_ridge, "on squared gate slopes of standardised inputs")
      ->capture_default_str();
  app.add_option("--class-ridge", request.options.class_ridge,
                 "the same on slopes of classes; 0.1 to 1 where classes are separated")
      ->capture_default_str();
}

void FitFlags::declare_output(CLI::App& app) {
  app.add_option("--seed", request.seed, "seed of the starts and folds")->capture_default_str();
  app.add_option("--out", out, "model file for `gatewright predict`");
  app.add_option("--report", report, "HTML page with tables and plots");
  app.add_flag("--json", json, "print JSON");
  app.add_flag("--quiet", quiet, "no progress");
}

void FitFlags::fill_request() {
  std::tie(request.least_experts, request.most_experts) = likelihood::parse_range(experts_);
  for (auto* names : {&request.frame.inputs, &request.frame.factors, &gate_inputs_, &expert_inputs_})
    split_names(*names);
  request.spec.gate.kind = likelihood::gate_kind(gate_);
  request.spec.gate.activation = likelihood::activation(activation_);
  request.spec.gate.select_with_bias = !select_without_bias_;
  request.spec.family = likelihood::family(family_);
  request.frame.drop_missing = missing_ == "drop";
  request.options.start =
      static_cast<likelihood::StartKind>(std::find(kStarts.begin(), kStarts.end(), start_) - kStarts.begin());
  request.options.narrow_experts =
      narrow_ == "keep" ? likelihood::NarrowExperts::kKeep : likelihood::NarrowExperts::kRefuse;
  request.options.gate_solver =
      solver_ == "mm" ? likelihood::GateSolver::kMm : likelihood::GateSolver::kNewton;
  const auto list = [](const std::vector<std::string>& names) {
    return names == std::vector<std::string>{"none"} ? std::vector<std::string>{} : names;
  };
  if (!gate_inputs_.empty()) request.gate_inputs = list(gate_inputs_);
  if (!expert_inputs_.empty()) request.expert_inputs = list(expert_inputs_);
}

std::string FitFlags::command_line() const {
  std::string line =
      fmt::format("gatewright fit {} --response {}", shell_word(data), shell_word(request.frame.response));
  const auto add = [&](const char* flag, const std::vector<std::string>& names) {
    if (!names.empty()) line += fmt::format(" {} {}", flag, shell_word(join_names(names)));
  };
  add("--inputs", request.frame.inputs), add("--gate-inputs", gate_inputs_),
      add("--expert-inputs", expert_inputs_);
  add("--factor", request.frame.factors);
  if (!request.frame.weights.empty()) line += " --weights " + shell_word(request.frame.weights);
  line += csv.shown();
  if (missing_ != "refuse") line += " --missing " + missing_;
  line += fmt::format(" --experts {} --gate {} --family {}", experts_, gate_, family_);
  if (gate_ == "top_k")
    line += fmt::format(" --top-k {}{}", request.spec.gate.top_k,
                        select_without_bias_ ? " --select-without-bias" : "");
  if (gate_ == "dense_to_sparse" || gate_ == "modified") line += " --activation " + activation_;
  if (request.folds > 0) line += fmt::format(" --folds {}", request.folds);
  if (start_ != "mixed") line += " --start " + start_;
  if (request.options.replacements != likelihood::FitOptions{}.replacements)
    line += fmt::format(" --replacements {}", request.options.replacements);
  if (narrow_ != "refuse") line += " --narrow-experts " + narrow_;
  if (request.options.least_rows > 0) line += fmt::format(" --least-rows {:g}", request.options.least_rows);
  if (request.options.min_scale != likelihood::FitOptions{}.min_scale)
    line += fmt::format(" --least-scale {:g}", request.options.min_scale);
  return line + fmt::format(" --criterion {} --starts {} --seed {}", request.criterion,
                            request.options.starts, request.seed);
}

}  // namespace gw
