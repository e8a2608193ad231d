#include "gatewright/runs/check_run.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "gatewright/base/error.h"
#include "gatewright/base/file.h"
#include "gatewright/runs/experiment_run.h"
#include "gatewright/runs/progress.h"
#include "gatewright/runs/run_directory.h"

namespace gw::inline runs {
namespace {

std::string number(double value, const Mark& mark) {
  return fmt::format("{:.3g}{}{}", value, mark.unit.empty() ? "" : " ", mark.unit);
}

Json row_of(const MarkResult& result, bool judged) {
  const auto& mark = result.mark;
  const bool measured = result.seeds > 0;
  return {{"claim", mark.claim},
          {"mark", fmt::format("{}: {}", mark.name, bound_text(mark))},
          {"measured", measured_text(result)},
          {"spread", seeds_text(result)},
          {"verdict", judged ? verdict_text(result) : "not judged"},
          {"order", mark.of_paper && measured && !mark.minus.empty()},
          {"meets", result.holds},
          {"note", mark.spread.empty() ? "" : "calibrated: " + mark.spread}};
}

Json row_of(const DivergedRun& run) {
  const auto [claim, mark, measured, verdict] = run.line();
  return {{"claim", claim}, {"mark", mark},       {"measured", measured},
          {"spread", ""},   {"verdict", verdict}, {"note", run.why}};
}

Json arms_of(const Recipe& recipe, const std::vector<ArmResult>& results) {
  Json arms = Json::array();
  for (const auto& arm : recipe.arms) {
    Json metrics = Json::object();
    int64_t seeds = 0;
    for (const auto& result : results) {
      if (result.arm != arm) continue;
      ++seeds;
      for (const auto& item : result.metrics) {
        const auto s = spread(results, arm, item.first);
        metrics[item.first] = {{"mean", s.mean}, {"min", s.low}, {"max", s.high}};
      }
    }
    if (seeds > 0)
      arms.push_back(
          {{"arm", arm}, {"title", arm_title(recipe, arm)}, {"seeds", seeds}, {"metrics", metrics}});
  }
  return arms;
}

/// One arm with one seed, a training or a statistical experiment. Without `run` it is only examined.
ArmResult run_arm(const Recipe& recipe, const CheckOptions& options, const std::string& arm, int64_t seed,
                  const TrainingRun* run) {
  const auto table = recipe.merged(arm, options.size, seed, options.overrides);
  const bool experiment = is_experiment(table);
  if (run == nullptr) {
    if (experiment)
      check_experiment(table);
    else
      check_config(recipe.resolve(arm, options.size, seed, options.overrides));
    return {};
  }
  auto one = *run;
  one.about = about_arm(recipe, arm, options.command, options.machine, options.date);
  one.directory = fmt::format("{}/{}-seed{}", run->directory, arm, seed);
  one.resume = RunDirectory::holds_run(one.directory);
  return experiment ? run_experiment_arm(table, one)
                    : run_training(recipe.resolve(arm, options.size, seed, options.overrides), one);
}

}  // namespace

About about_arm(const Recipe& recipe, const std::string& arm, const std::string& command,
                const std::string& machine, const std::string& date) {
  return {recipe.document.value("title", recipe.name),       arm_title(recipe, arm), command, machine, date,
          paper_text(recipe.document.value("paper", Json()))};
}

std::string arm_title(const Recipe& recipe, const std::string& arm) {
  return recipe.document["arms"][arm].value("title", arm);
}

std::string bound_text(const Mark& mark) {
  std::vector<std::string> parts;
  if (mark.at_least > -kInfinity) parts.push_back("≥ " + number(mark.at_least, mark));
  if (mark.at_most < kInfinity) parts.push_back("≤ " + number(mark.at_most, mark));
  return parts.empty() ? "any" : fmt::format("{}", fmt::join(parts, " and "));
}

std::string seeds_text(const MarkResult& result) {
  if (result.seeds == 0) return "";
  if (result.seeds == 1) return "one seed";
  return fmt::format("{:.3g} … {:.3g} over {} seeds", result.low, result.high, result.seeds);
}

std::string measured_text(const MarkResult& result) {
  return result.seeds == 0 ? "not measured" : number(result.measured, result.mark);
}

std::string verdict_text(const MarkResult& result) {
  if (result.mark.of_paper) return result.seeds == 0 ? "not measured" : result.holds ? "shown" : "not shown";
  return result.holds ? "pass" : "fail";
}

std::array<std::string, 4> DivergedRun::line() const {
  return {"every run ends", fmt::format("{}, seed {}", arm, seed), "diverged", "fail"};
}

bool CheckOutcome::holds() const {
  return diverged.empty() && std::all_of(marks.begin(), marks.end(),
                                         [](const MarkResult& m) { return m.holds || m.mark.of_paper; });
}

CheckOutcome run_check(const Recipe& recipe, const CheckOptions& options, const TrainingRun& run) {
  const auto arms = options.arms.empty() ? recipe.arms : options.arms;
  const auto seeds = options.seeds.empty() ? recipe.seeds(options.size) : options.seeds;
  CheckOutcome outcome;
  // All arms are examined before the first one runs: a typing error in the last must not cost the hours of
  // the others.
  for (const auto& arm : arms) run_arm(recipe, options, arm, seeds[0], nullptr);
  for (const int64_t seed : seeds) {
    for (const auto& arm : arms) {
      try {
        outcome.results.push_back(run_arm(recipe, options, arm, seed, &run));
      } catch (const NumericError& error) {
        outcome.diverged.push_back({arm, seed, error.what()});
        if (run.progress != nullptr)
          say(run.progress,
              fmt::format("\n{} seed {} diverged, the check goes on: {}\n", arm, seed, error.what()));
      }
    }
  }
  outcome.marks = judge(recipe, options.size, outcome.results);
  outcome.unjudged = measure_unjudged(recipe, options.size, outcome.results);
  Json rows = Json::array();
  for (const auto& diverged : outcome.diverged) rows.push_back(row_of(diverged));
  for (const auto& mark : outcome.marks) rows.push_back(row_of(mark, true));
  for (const auto& mark : outcome.unjudged) rows.push_back(row_of(mark, false));
  const Json document{{"title", recipe.document.value("title", recipe.name)},
                      {"name", recipe.name},
                      {"command", options.command},
                      {"machine", options.machine},
                      {"date", options.date},
                      {"rows", rows},
                      {"arms", arms_of(recipe, outcome.results)}};
  write_atomic(run.directory + "/check.json", dump_json(document, 1) + "\n");
  return outcome;
}

}  // namespace gw::inline runs
