#include <fmt/format.h>

#include <optional>

#include "apps/cli/clocks.h"
#include "apps/cli/command.h"
#include "apps/cli/fit_flags.h"
#include "apps/cli/provenance.h"
#include "apps/cli/signals.h"
#include "apps/cli/table.h"
#include "gatewright/base/shown.h"
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

  void declare(CLI::App& app) override { flags_.declare(app); }

  int run() override {
    catch_signals();
    flags_.fill_request();
    auto& request = flags_.request;
    const auto table = load_csv(flags_.data, flags_.csv.options());
    std::optional<Progress> progress;
    if (!flags_.quiet) {
      auto options = progress_for(stderr, steady_now_s);
      options.label = "fit", options.unit = "starts";
      progress.emplace(
          request.options.starts * (request.most_experts - request.least_experts + 1) * (1 + request.folds),
          options);
    }
    request.options.stop = &stop_requested();
    int64_t ended = 0;
    request.options.progress = [&](const likelihood::FitProgress& p) {
      ended += p.ended;
      if (progress) progress->update(ended, fmt::format("log-likelihood {:.3f}", p.log_likelihood));
    };
    const auto outcome = likelihood::fit_mixtures(table, request);
    progress.reset();
    if (stop_requested().load()) throw Interrupted("interrupted; nothing was written");
    if (!flags_.out.empty()) likelihood::write_model(flags_.out, outcome.model);
    if (!flags_.report.empty())
      write_mixture_report(flags_.report, outcome,
                           {flags_.command_line(), machine_text(), today(), request.criterion});
    flags_.json ? print_json(outcome) : print_text(outcome);
    return 0;
  }

 private:
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
                                      {"freedom", value(row.freedom)},
                                      {"t", value(row.t)},
                                      {"p", value(row.p)},
                                      {"low", value(row.low)},
                                      {"high", value(row.high)}});
    }
    for (const auto& c : outcome.candidates) json["comparison"].push_back(candidate_json(c));
    json["dropped_rows"] = outcome.frame.dropped;
    fmt::print("{}\n", dump_json(json, 1));
  }

  void print_text(const likelihood::FitOutcome& outcome) const {
    const auto& fit = outcome.model.fit;
    std::vector<std::vector<std::string>> rows{
        {"part", "coefficient", ">estimate", ">error", ">robust", ">df", ">t", ">p"}};
    for (const auto& row : likelihood::coefficient_rows(outcome.model)) {
      rows.push_back({gw::shown(row.part), gw::shown(row.name), fmt::format("{:.6g}", row.estimate),
                      value_or_dash(row.error, "{:.4g}"), value_or_dash(row.robust_error, "{:.4g}"),
                      value_or_dash(row.freedom, "{:.1f}"), value_or_dash(row.t, "{:.2f}"),
                      value_or_dash(row.p, "{:.2g}")});
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
    fmt::print("{}", format_table(likelihood::size_rows(outcome, flags_.request.criterion)));
    for (const auto& note : likelihood::notes_of(outcome)) fmt::print("note: {}\n", gw::shown(note));
    if (!flags_.out.empty()) fmt::print("model: {}\n", gw::shown(flags_.out));
    if (!flags_.report.empty()) fmt::print("report: {}\n", gw::shown(flags_.report));
  }

  FitFlags flags_;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, FitCommand);
