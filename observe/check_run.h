#pragma once
#include "observe/training_run.h"

namespace gw {

/// Arms × seeds of a recipe at one size, each in its own run directory below `run.directory`.
struct CheckOptions {
  std::string size;
  std::vector<std::string> arms;       ///< empty: all
  std::vector<int64_t> seeds;          ///< empty: the recipe's
  std::vector<std::string> overrides;  ///< key=value; finished runs of other values are refused
  std::string command, machine, date;  ///< for check.json
};

struct CheckOutcome {
  std::vector<ArmResult> results;
  std::vector<MarkResult> marks;
  bool holds() const;
};

/// Runs what is not finished yet (an interrupted check goes on where it stopped), judges the marks, writes check.json.
CheckOutcome run_check(const Recipe& recipe, const CheckOptions& options, const TrainingRun& run);

/// "pass" or "fail" for our marks, "shown" or "not shown" for the paper's claims.
std::string verdict_text(const MarkResult& result);
/// "≥ 1.5 points", for tables.
std::string bound_text(const Mark& mark);

}  // namespace gw
