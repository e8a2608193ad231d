#pragma once
#include <array>
#include <string>

#include "gatewright/runs/training_run.h"

namespace gw::inline runs {

/// Arms × seeds of a recipe at one size, each in its own run directory below `run.directory`.
struct CheckOptions {
  std::string size;
  std::vector<std::string> arms;       ///< empty: all
  std::vector<int64_t> seeds;          ///< empty: the recipe's
  std::vector<std::string> overrides;  ///< key=value; finished runs of other values are refused
  std::string command, machine, date;  ///< for check.json
};

/// A run that ended without a result because its numbers ran away.
struct DivergedRun {
  std::string arm;
  int64_t seed = 0;
  std::string why;
  /// Claim, mark, what was measured, verdict: its line in a table of marks.
  std::array<std::string, 4> line() const;
};

struct CheckOutcome {
  std::vector<ArmResult> results;
  std::vector<MarkResult> marks;
  std::vector<MarkResult> unjudged;  ///< of other sizes: measured, outside the verdict
  std::vector<DivergedRun> diverged;
  /// Every mark of ours is met and every run ended.
  bool holds() const;
};

/// Runs what is not finished yet (an interrupted check goes on where it stopped), judges the marks, writes
/// check.json.
/// A run that diverges (NumericError) is a result of its arm: the others go on, the marks are judged on the
/// seeds that ended, and the check does not hold.
CheckOutcome run_check(const Recipe& recipe, const CheckOptions& options, const TrainingRun& run);

/// The recipe's title of an arm, its name where it has none.
std::string arm_title(const Recipe& recipe, const std::string& arm);
/// What a run of this arm says about itself.
About about_arm(const Recipe& recipe, const std::string& arm, const std::string& command,
                const std::string& machine, const std::string& date);
/// "pass" or "fail" for our marks, "shown" or "not shown" for the paper's claims.
std::string verdict_text(const MarkResult& result);
/// "0.42 … 0.47 over 3 seeds", "one seed", "" without a measurement; for tables.
std::string seeds_text(const MarkResult& result);
/// "-16.2 points", "not measured"; for tables.
std::string measured_text(const MarkResult& result);
/// "≥ 1.5 points", for tables.
std::string bound_text(const Mark& mark);

}  // namespace gw::inline runs
