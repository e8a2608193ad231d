#pragma once
#include <array>
#include <string>

#include "gatewright/runs/arm.h"
#include "gatewright/runs/worker_pool.h"

namespace gw::inline runs {

/// Arms × seeds of a recipe at one size, each in its own run directory below `run.directory`.
struct CheckOptions {
  std::string size;
  std::vector<std::string> arms;       ///< empty: all; the arms that they start from are run too
  std::vector<int64_t> seeds;          ///< empty: the recipe's
  std::vector<std::string> overrides;  ///< key=value; finished runs of other values are refused
  std::string command, machine, date;  ///< for check.json
  /// Several runs at a time, each in a process that `worker` names and that calls run_as_worker; the same
  /// results. 1: one after the other in this process.
  int64_t jobs = 1;
  std::function<ChildProcess::Command(const CheckRun&)> worker = {};
};

/// A run that ended without a result.
struct FailedRun {
  std::string arm;
  int64_t seed = 0;
  std::string what;  ///< "diverged" (its numbers ran away), "failed", "not run: its source a failed"
  std::string why;   ///< the error's words; "" where the run never began
  /// Claim, mark, what was measured, verdict: its line in a table of marks.
  std::array<std::string, 4> line() const;
};

struct CheckOutcome {
  std::vector<ArmResult> results;
  std::vector<MarkResult> marks;
  std::vector<MarkResult> unjudged;  ///< of other sizes: measured, outside the verdict
  std::vector<FailedRun> failed;
  std::map<std::string, ResultTable> shown;  ///< by arm: what a table of results shows of it
  /// Every run ended, and every mark of ours that could be judged is met.
  bool holds() const;
};

/// Runs what is not finished yet (an interrupted check goes on where it stopped), judges the marks, writes
/// check.json. Every arm is examined before the first one runs.
/// Seed by seed, an arm runs after those that it starts from, and starts from their runs of the same seed.
/// A run that diverges (NumericError) or fails otherwise is a result of its arm: arms that start from it are
/// not run, the others go on, the marks are judged on the seeds that ended, and the check does not hold.
/// Errors: Interrupted; InternalError; what the arms refuse before they run; the first failure if no run has
///         ended otherwise and none diverged (missing data, say); ValueError for marks that apply and name
///         what none of the runs leaves.
CheckOutcome run_check(const Recipe& recipe, const CheckOptions& options, const ArmRun& run);

/// The process of one run of a check with `jobs` > 1: the only arm and the only seed of `options`.
/// Failures go to the process that started it. Errors: ValueError where nobody started it; Interrupted.
void run_as_worker(const Recipe& recipe, const CheckOptions& options, const ArmRun& run);

/// The arms of a recipe with one seed, and all that they start from: made and examined, sources first.
/// Errors: ValueError for what recipe or arms refuse.
std::vector<std::pair<std::string, std::shared_ptr<Arm>>> examined_arms(
    const Recipe& recipe, const std::vector<std::string>& arms, const std::string& size, int64_t seed,
    const std::vector<std::string>& overrides);

/// The recipe's title of an arm, its name where it has none.
std::string arm_title(const Recipe& recipe, const std::string& arm);
/// What a run of this arm says about itself.
About about_arm(const Recipe& recipe, const std::string& arm, const std::string& command,
                const std::string& machine, const std::string& date);
/// "pass" or "fail" for our marks, "shown" or "not shown" for the paper's claims; "not judged: 1 seed; a t
/// interval needs 2".
std::string verdict_text(const MarkResult& result);
/// "0.42 … 0.47 over 3 seeds", "one seed", "" without a measurement; for tables.
std::string seeds_text(const MarkResult& result);
/// "-16.2 points", "not measured"; of an order every arm's mean; for tables.
std::string measured_text(const MarkResult& result);
/// "≥ 1.5 points", "a < b", "not worse than b by more than 1 points"; for tables.
std::string bound_text(const Mark& mark);

}  // namespace gw::inline runs
