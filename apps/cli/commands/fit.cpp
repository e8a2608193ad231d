#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "apps/cli/clocks.h"
#include "apps/cli/command.h"
#include "apps/cli/csv_flags.h"
#include "apps/cli/provenance.h"
#include "apps/cli/signals.h"
#include "apps/cli/table.h"
#include "gatewright/base/shown.h"
#include "gatewright/likelihood/fit_mixtures.h"
#include "gatewright/report/mixture_report.h"
#include "gatewright/runs/progress.h"
#include "gatewright/runs/run_directory.h"

namespace gw {
namespace {

std::string value_or_dash(const std::optional<double>& value, const char* format) {
  return value ? fmt::format(fmt::runtime(format), *value) : "–";
}

/// Fits mixtures of experts to a table by maximum likelihood.
class FitCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "Fit mixtures of experts to a table: coefficients with errors, model comparison, a model file.";

  const char* example() const override {
    return "gatewright fit examples/data/iris.csv --response sepal_width --inputs sepal_length --experts "
           "1..4 --out iris.json --report iris.html";
  }

  void declare(CLI::App& app) override {
    app.add_option("data", data_, "table with a header (.csv, .csv.gz)")->required();
    app.add_option("--response", request_.frame.response, "column to be explained")->required();
    app.add_option("--inputs", request_.frame.inputs, "columns that explain; default: all others");
    app.add_option("--gate-inputs", gate_inputs_,
                   "inputs that the gate sees; default: all; none for constant gates");
    app.add_option("--expert-inputs", expert_inputs_, "inputs that the experts see; default: all");
    app.add_option("--factor", request_.frame.factors, "columns of numbers to be taken as factors");
    app.add_option("--weights", request_.frame.weights, "column of weights");
    app.add_option("--missing", missing_, "rows with missing values: refuse or drop")
        ->check(CLI::IsMember({"refuse", "drop"}))
        ->capture_default_str();
    csv_.declare(app);
    app.add_option("--experts", experts_, "how many: 3, or 2..6 to compare")->capture_default_str();
    app.add_option("--gate", gate_, "softmax, top_k, dense_to_sparse, modified")->capture_default_str();
    app.add_option("--top-k", request_.spec.gate.top_k, "top_k: experts active at one input")
        ->capture_default_str();
    app.add_flag("--select-without-bias", select_without_bias_, "top_k: rank by the slopes alone");
    app.add_option("--activation", activation_, "dense_to_sparse, modified: identity, tanh, sigmoid, gelu")
        ->capture_default_str();
    app.add_option("--family", family_, "gaussian, laplace, student_t, multinomial")->capture_default_str();
    app.add_option("--criterion", request_.criterion, "aic, bic, icl, cv: which of several sizes is kept")
        ->capture_default_str();
    app.add_option("--folds", request_.folds, "cross-validate in so many folds")->check(at_least_zero);
    const auto number = [&](const char* flag, auto& value, const char* what) {
      app.add_option(flag, value, what)->check(at_least_zero)->capture_default_str();
    };
    app.add_option("--starts", request_.options.starts, "starts of each fit")
        ->check(CLI::Range(1, 100000))
        ->capture_default_str();
    app.add_option("--start", start_, "mixed, small_em, kmeans, random")
        ->check(CLI::IsMember(kStarts))
        ->capture_default_str();
    number("--replacements", request_.options.replacements,
           "random lines tried in place of the experts' own after the starts");
    app.add_option("--narrow-experts", narrow_,
                   "experts that are narrow by chance: refuse, or keep as plain maximum likelihood does")
        ->check(CLI::IsMember({"refuse", "keep"}))
        ->capture_default_str();
    number("--least-rows", request_.options.least_rows,
           "an expert with fewer rows has died; 0: twice its parameters");
    app.add_option("--least-scale", request_.options.min_scale,
                   "floor of an expert's scale, in deviations of the response")
        ->capture_default_str();
    app.add_option("--gate-solver", solver_, "newton, mm")
        ->check(CLI::IsMember({"newton", "mm"}))
        ->capture_default_str();
    app.add_option("--iterations", request_.options.max_iterations, "most iterations of a start")
        ->check(above_zero)
        ->capture_default_str();
    app.add_option("--tolerance", request_.options.tolerance, "relative gain that ends a start")
        ->capture_default_str();
    app.add_option("--ridge", request_.options.gate_ridge, "on squared gate slopes of standardised inputs")
        ->capture_default_str();
    app.add_option("--class-ridge", request_.options.class_ridge,
                   "the same on slopes of classes; 0.1 to 1 where classes are separated")
        ->capture_default_str();
    app.add_option("--seed", request_.seed, "seed of the starts and folds")->capture_default_str();
    app.add_option("--out", out_, "model file for `gatewright predict`");
    app.add_option("--report", report_, "HTML page with tables and plots");
    app.add_flag("--json", json_, "print JSON");
    app.add_flag("--quiet", quiet_, "no progress");
  }

  int run() override {
    catch_signals();
    fill_request();
    const auto table = load_csv(data_, csv_.options());
    std::optional<Progress> progress;
    if (!quiet_) {
      auto options = progress_for(stderr, steady_now_s);
      options.label = "fit", options.unit = "starts";
      progress.emplace(request_.options.starts * (request_.most_experts - request_.least_experts + 1) *
                           (1 + request_.folds),
                       options);
    }
    show_progress(progress);
    const auto outcome = likelihood::fit_mixtures(table, request_);
    progress.reset();
    if (stop_requested().load()) throw Interrupted("interrupted; nothing was written");
    if (!out_.empty()) likelihood::write_model(out_, outcome.model);
    if (!report_.empty())
      write_mixture_report(report_, outcome, {command_line(), machine_text(), today(), request_.criterion});
    json_ ? print_json(outcome) : print_text(outcome);
    return 0;
  }

 private:
  void fill_request() {
    std::tie(request_.least_experts, request_.most_experts) = likelihood::parse_range(experts_);
    for (auto* names : {&request_.frame.inputs, &request_.frame.factors, &gate_inputs_, &expert_inputs_})
      split_names(*names);
    request_.spec.gate.kind = likelihood::gate_kind(gate_);
    request_.spec.gate.activation = likelihood::activation(activation_);
    request_.spec.gate.select_with_bias = !select_without_bias_;
    request_.spec.family = likelihood::family(family_);
    request_.frame.drop_missing = missing_ == "drop";
    request_.options.start = static_cast<likelihood::StartKind>(
        std::find(kStarts.begin(), kStarts.end(), start_) - kStarts.begin());
    request_.options.narrow_experts =
        narrow_ == "keep" ? likelihood::NarrowExperts::kKeep : likelihood::NarrowExperts::kRefuse;
    request_.options.gate_solver =
        solver_ == "mm" ? likelihood::GateSolver::kMm : likelihood::GateSolver::kNewton;
    request_.options.stop = [] { return stop_requested().load(); };
    const auto list = [](const std::vector<std::string>& names) {
      return names == std::vector<std::string>{"none"} ? std::vector<std::string>{} : names;
    };
    if (!gate_inputs_.empty()) request_.gate_inputs = list(gate_inputs_);
    if (!expert_inputs_.empty()) request_.expert_inputs = list(expert_inputs_);
  }

  void show_progress(std::optional<Progress>& progress) {
    request_.options.progress = [this, &progress](const likelihood::FitProgress& p) {
      ended_ += p.ended;
      if (progress) progress->update(ended_, fmt::format("log-likelihood {:.3f}", p.log_likelihood));
    };
  }
  inline static const std::vector<std::string> kStarts{"mixed", "small_em", "kmeans",
                                                       "random"};  // in the order of StartKind

  /// What makes the page again: the table, the model and what was not left at its default.
  std::string command_line() const {
    std::string line = fmt::format("gatewright fit {} --response {}", data_, request_.frame.response);
    const auto add = [&](const char* flag, const std::vector<std::string>& names) {
      if (!names.empty()) line += fmt::format(" {} {}", flag, join_names(names));
    };
    add("--inputs", request_.frame.inputs), add("--gate-inputs", gate_inputs_),
        add("--expert-inputs", expert_inputs_);
    add("--factor", request_.frame.factors);
    if (!request_.frame.weights.empty()) line += " --weights " + request_.frame.weights;
    line += csv_.shown();
    if (missing_ != "refuse") line += " --missing " + missing_;
    line += fmt::format(" --experts {} --gate {} --family {}", experts_, gate_, family_);
    if (gate_ == "top_k")
      line += fmt::format(" --top-k {}{}", request_.spec.gate.top_k,
                          select_without_bias_ ? " --select-without-bias" : "");
    if (gate_ == "dense_to_sparse" || gate_ == "modified") line += " --activation " + activation_;
    if (request_.folds > 0) line += fmt::format(" --folds {}", request_.folds);
    if (start_ != "mixed") line += " --start " + start_;
    if (request_.options.replacements != likelihood::FitOptions{}.replacements)
      line += fmt::format(" --replacements {}", request_.options.replacements);
    if (narrow_ != "refuse") line += " --narrow-experts " + narrow_;
    if (request_.options.least_rows > 0)
      line += fmt::format(" --least-rows {:g}", request_.options.least_rows);
    if (request_.options.min_scale != likelihood::FitOptions{}.min_scale)
      line += fmt::format(" --least-scale {:g}", request_.options.min_scale);
    return line + fmt::format(" --criterion {} --starts {} --seed {}", request_.criterion,
                              request_.options.starts, request_.seed);
  }

  static Json candidate_json(const likelihood::FitCandidate& c) {
    Json json{{"experts", c.experts},
              {"log_likelihood", c.criteria.log_likelihood},
              {"parameters", c.criteria.parameters},
              {"aic", c.criteria.aic},
              {"bic", c.criteria.bic},
              {"icl", c.criteria.icl},
              {"converged", c.converged},
              {"degenerate", c.degenerate},
              {"excluded", likelihood::name_of(c.exclusion)},
              {"refused", c.refused},
              {"starts_at_best", c.at_best},
              {"warnings", c.warnings}};
    if (c.validation)
      json["validation"] = {
          {"mean", c.validation->mean}, {"error", c.validation->error}, {"folds", c.validation->fold}};
    return json;
  }

  static void print_json(const likelihood::FitOutcome& outcome) {
    Json json = likelihood::to_json(outcome.model);
    json["coefficients"] = Json::array(), json["comparison"] = Json::array();
    const auto value = [](const std::optional<double>& v) { return v ? Json(*v) : Json(); };
    for (const auto& row : likelihood::coefficient_rows(outcome.model)) {
      json["coefficients"].push_back({{"part", row.part},
                                      {"name", row.name},
                                      {"estimate", row.estimate},
                                      {"error", value(row.error)},
                                      {"robust_error", value(row.robust_error)},
                                      {"z", value(row.z)},
                                      {"p", value(row.p)}});
    }
    for (const auto& c : outcome.candidates) json["comparison"].push_back(candidate_json(c));
    json["dropped_rows"] = outcome.frame.dropped;
    fmt::print("{}\n", dump_json(json, 1));
  }

  void print_text(const likelihood::FitOutcome& outcome) const {
    const auto& fit = outcome.model.fit;
    std::vector<std::vector<std::string>> rows{
        {"part", "coefficient", ">estimate", ">error", ">robust", ">z", ">p"}};
    for (const auto& row : likelihood::coefficient_rows(outcome.model)) {
      rows.push_back({row.part, row.name, fmt::format("{:.6g}", row.estimate),
                      value_or_dash(row.error, "{:.4g}"), value_or_dash(row.robust_error, "{:.4g}"),
                      value_or_dash(row.z, "{:.2f}"), value_or_dash(row.p, "{:.2g}")});
    }
    fmt::print(
        "{} gate, {} experts, {} rows{}\n\n{}\n", likelihood::name_of(fit.spec.gate.kind),
        likelihood::name_of(fit.spec.family), fit.n,
        outcome.frame.dropped > 0 ? fmt::format(" ({} left out: missing values)", outcome.frame.dropped) : "",
        format_table(rows));
    for (const auto& term : outcome.model.schema.terms) {
      if (!term.levels.empty())
        fmt::print("{}: against {}\n", gw::shown(term.name), gw::shown(term.levels.front()));
    }
    fmt::print("{}", format_table(likelihood::size_rows(outcome, request_.criterion)));
    for (const auto& note : likelihood::notes_of(outcome)) fmt::print("note: {}\n", note);
    if (!out_.empty()) fmt::print("model: {}\n", out_);
    if (!report_.empty()) fmt::print("report: {}\n", report_);
  }

  likelihood::FitRequest request_;
  CsvFlags csv_;
  std::string data_, experts_ = "2", gate_ = "softmax", family_ = "gaussian", activation_ = "tanh",
                     missing_ = "refuse", start_ = "mixed", narrow_ = "refuse", solver_ = "newton", out_,
                     report_;
  std::vector<std::string> gate_inputs_, expert_inputs_;
  int64_t ended_ = 0;
  bool select_without_bias_ = false, json_ = false, quiet_ = false;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, FitCommand);
