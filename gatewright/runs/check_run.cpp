#include "gatewright/runs/check_run.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>

#include "gatewright/base/check.h"
#include "gatewright/base/error.h"
#include "gatewright/base/file.h"
#include "gatewright/runs/progress.h"

namespace gw::inline runs {
namespace {

std::string number(double value, const Mark& mark) {
  if (mark.measure == "crossing" && !mark.curve.empty() && value == kInfinity) return "never";
  return fmt::format("{:.3g}{}{}", value, mark.unit.empty() ? "" : " ", mark.unit);
}

Json row_of(const MarkResult& result, bool judged) {
  const auto& mark = result.mark;
  const bool measured = result.seeds > 0;
  return {{"claim", mark.claim},
          {"mark", fmt::format("{}: {}", mark.name, bound_text(mark))},
          {"measured", measured_text(result)},
          {"spread", seeds_text(result)},
          {"verdict", judged && result.unjudged.empty() ? verdict_text(result) : "not judged"},
          {"order", mark.of_paper && measured && (!mark.minus.empty() || !mark.order.empty())},
          {"meets", result.holds},
          {"note", judged && !result.unjudged.empty() ? result.unjudged
                   : mark.spread.empty()              ? ""
                                                      : "calibrated: " + mark.spread}};
}

Json row_of(const FailedRun& run) {
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

std::string run_folder(const ArmRun& check, const std::string& arm, int64_t seed) {
  return fmt::format("{}/{}-seed{}", check.directory, arm, seed);
}

ArmResult result_of(const Recipe& recipe, const CheckOptions& options, const ArmRun& check,
                    const CheckRun& of) {
  auto one = check;
  one.about = about_arm(recipe, of.arm, options.command, options.machine, options.date);
  one.directory = run_folder(check, of.arm, of.seed);
  one.resume = RunDirectory::holds_run(one.directory);
  std::vector<Artefact> from;
  for (const auto& source : recipe.sources(of.arm))
    from.push_back({source, run_folder(check, source, of.seed)});
  return make_arm(recipe, of.arm, options.size, of.seed, options.overrides)->run(one, from);
}

/// The error that a worker's run ended with.
[[noreturn]] void throw_again(const WorkerFailure& failure) {
  if (failure.kind == "numeric") throw NumericError(failure.why);
  if (failure.kind == "value") throw ValueError(failure.why);
  if (failure.kind == "io") throw IoError(failure.why);
  throw Error(failure.why);
}

const char* kind_of(const Error& error) {
  if (dynamic_cast<const NumericError*>(&error) != nullptr) return "numeric";
  if (dynamic_cast<const ValueError*>(&error) != nullptr) return "value";
  return dynamic_cast<const IoError*>(&error) != nullptr ? "io" : "";
}

/// The arms of a check, run one after the other, or read where workers have run them.
class Sweep {
 public:
  Sweep(const Recipe& recipe, const CheckOptions& options, const ArmRun& run,
        std::vector<WorkerFailure> known, CheckOutcome& outcome)
      : recipe_(recipe), options_(options), run_(run), known_(std::move(known)), outcome_(outcome) {}

  void one(const std::string& arm, int64_t seed) {
    for (const auto& source : recipe_.sources(arm)) {
      const auto failed = std::find_if(outcome_.failed.begin(), outcome_.failed.end(),
                                       [&](const FailedRun& f) { return f.arm == source && f.seed == seed; });
      if (failed == outcome_.failed.end()) continue;
      return failed_because(
          arm, seed,
          fmt::format("not run: its source {} {}", source, failed->why.empty() ? "was not run" : "failed"),
          "");
    }
    try {
      for (const auto& failure : known_)
        if (failure.run == CheckRun{arm, seed}) throw_again(failure);
      outcome_.results.push_back(result_of(recipe_, options_, run_, {arm, seed}));
    } catch (const Interrupted&) {
      throw;
    } catch (const InternalError&) {
      throw;
    } catch (const NumericError& error) {
      failed_because(arm, seed, "diverged", error.what());
    } catch (const Error& error) {
      if (!first_) first_ = std::current_exception();
      failed_because(arm, seed, "failed", error.what());
    }
  }

  /// Nothing was measured and nothing diverged: a fault of all arms, which no table of marks explains.
  void refuse_nothing() const {
    const bool diverged = std::any_of(outcome_.failed.begin(), outcome_.failed.end(),
                                      [](const FailedRun& f) { return f.what == "diverged"; });
    if (first_ && outcome_.results.empty() && !diverged) std::rethrow_exception(first_);
  }

 private:
  void failed_because(const std::string& arm, int64_t seed, const std::string& what, const std::string& why) {
    outcome_.failed.push_back({arm, seed, what, why});
    if (run_.progress != nullptr)
      say(run_.progress, fmt::format("\n{} seed {} {}, the check goes on{}{}\n", arm, seed, what,
                                     why.empty() ? "" : ": ", why));
  }

  const Recipe& recipe_;
  const CheckOptions& options_;
  const ArmRun& run_;
  std::vector<WorkerFailure> known_;
  CheckOutcome& outcome_;
  std::exception_ptr first_;
};

/// Runs in workers what has no result yet; the failures.
std::vector<WorkerFailure> run_side_by_side(const Recipe& recipe, const CheckOptions& options,
                                            const ArmRun& run, const std::vector<CheckRun>& all) {
  const auto unfinished = [&](const CheckRun& one) {
    return !std::filesystem::exists(run_folder(run, one.arm, one.seed) + "/" + kSummaryFile);
  };
  std::vector<CheckRun> left;
  std::copy_if(all.begin(), all.end(), std::back_inserter(left), unfinished);
  if (options.jobs < 2 || left.size() < 2) return {};
  WorkerPoolOptions pool{options.jobs, at::get_num_threads(), options.worker, {},
                         run.stop,     run.progress,          run.now_s};
  pool.after = [&](const CheckRun& one) {
    std::vector<CheckRun> sources;
    for (const auto& source : recipe.sources(one.arm)) sources.push_back({source, one.seed});
    return sources;
  };
  return run_in_workers(left, pool);
}

Json check_json(const Recipe& recipe, const CheckOptions& options, const CheckOutcome& outcome) {
  Json rows = Json::array();
  for (const auto& failed : outcome.failed) rows.push_back(row_of(failed));
  for (const auto& mark : outcome.marks) rows.push_back(row_of(mark, true));
  for (const auto& mark : outcome.unjudged) rows.push_back(row_of(mark, false));
  return {{"title", recipe.document.value("title", recipe.name)},
          {"name", recipe.name},
          {"command", options.command},
          {"machine", options.machine},
          {"date", options.date},
          {"rows", rows},
          {"arms", arms_of(recipe, outcome.results)}};
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
  if (mark.kind() == Mark::Kind::kOrder) {
    const auto step = mark.at_least > 0 ? ", each by ≥ " + number(mark.at_least, mark) : "";
    return fmt::format("{}{}", fmt::join(mark.order, " < "), step);
  }
  if (mark.kind() == Mark::Kind::kNotWorse)
    return fmt::format("not worse than {} by more than {}", mark.minus, number(mark.not_worse_by, mark));
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
  if (result.seeds == 0) return "not measured";
  if (result.mark.kind() == Mark::Kind::kOrder) return result.detail;
  return number(result.measured, result.mark) + (result.detail.empty() ? "" : "; " + result.detail);
}

std::string verdict_text(const MarkResult& result) {
  if (!result.unjudged.empty()) return "not judged: " + result.unjudged;
  if (result.mark.of_paper) return result.seeds == 0 ? "not measured" : result.holds ? "shown" : "not shown";
  return result.holds ? "pass" : "fail";
}

std::array<std::string, 4> FailedRun::line() const {
  return {"every run ends", fmt::format("{}, seed {}", arm, seed), what, "fail"};
}

bool CheckOutcome::holds() const {
  return failed.empty() && std::all_of(marks.begin(), marks.end(), [](const MarkResult& m) {
           return m.holds || m.mark.of_paper || !m.unjudged.empty();
         });
}

std::vector<std::pair<std::string, std::shared_ptr<Arm>>> examined_arms(
    const Recipe& recipe, const std::vector<std::string>& arms, const std::string& size, int64_t seed,
    const std::vector<std::string>& overrides) {
  std::vector<std::pair<std::string, std::shared_ptr<Arm>>> made;
  for (const auto& arm : recipe.in_order(arms)) {
    made.emplace_back(arm, make_arm(recipe, arm, size, seed, overrides));
    std::vector<const Arm*> from;
    for (const auto& source : recipe.sources(arm)) {
      from.push_back(std::find_if(made.begin(), made.end(), [&](const auto& item) {
                       return item.first == source;
                     })->second.get());
    }
    made.back().second->validate(from);
  }
  return made;
}

void run_as_worker(const Recipe& recipe, const CheckOptions& options, const ArmRun& run) {
  GW_CHECK(options.arms.size() == 1 && options.seeds.size() == 1,
           "worker: expected one arm and one seed, got {} and {}", options.arms.size(), options.seeds.size());
  Worker worker;
  auto one = run;
  one.alone = [&worker] { return worker.alone(); };
  try {
    result_of(recipe, options, one, {options.arms[0], options.seeds[0]});
  } catch (const Interrupted&) {
    throw;
  } catch (const Error& error) {
    worker.failed(kind_of(error), error.what());
  }
}

CheckOutcome run_check(const Recipe& recipe, const CheckOptions& options, const ArmRun& run) {
  const auto seeds = options.seeds.empty() ? recipe.seeds(options.size) : options.seeds;
  // All arms are examined before the first one runs: a typing error in the last must not cost the hours of
  // the others.
  const auto arms = examined_arms(recipe, options.arms.empty() ? recipe.arms_at(options.size) : options.arms,
                                  options.size, seeds[0], options.overrides);
  CheckOutcome outcome;
  std::map<std::string, LeftNames> names;
  for (const auto& [name, arm] : arms) outcome.shown[name] = arm->shown(), names[name] = arm->leaves();
  for (const auto& mark : recipe.marks)
    if (mark.applies(options.size)) check_names(recipe.name, mark, names);
  std::vector<CheckRun> all;
  for (const int64_t seed : seeds) {
    for (const auto& item : arms) all.push_back({item.first, seed});
  }
  Sweep sweep(recipe, options, run, run_side_by_side(recipe, options, run, all), outcome);
  for (const auto& one : all) sweep.one(one.arm, one.seed);
  sweep.refuse_nothing();
  outcome.marks = judge(recipe, options.size, outcome.results);
  outcome.unjudged = measure_unjudged(recipe, options.size, outcome.results);
  write_atomic(run.directory + "/check.json", dump_json(check_json(recipe, options, outcome), 1) + "\n");
  return outcome;
}

}  // namespace gw::inline runs
