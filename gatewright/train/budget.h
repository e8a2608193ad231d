#pragma once
#include "gatewright/base/options.h"

namespace gw::inline train {

/// How long a training lasts, in place of its epochs: it ends with the first step that reaches the budget.
/// Examples, tokens and multiply-adds are turned into steps before the first one, so that schedules know
/// their number. Seconds are those of this process and its predecessors, training and validating: such a run
/// is not reproducible bit for bit, on one machine as little as on two.
struct BudgetOptions : OptionSet {
  int64_t examples = 0, tokens = 0;
  double macs = 0;     ///< of forward passes, as the results count them; a backward pass costs about twice as
                       ///< many again
  double seconds = 0;  ///< by the clock
  void fields(OptionVisitor& v) override;
  bool given() const { return examples > 0 || tokens > 0 || macs > 0 || seconds > 0; }
};

/// Errors: ValueError unless exactly one of the budgets is named or none was `asked` for.
void check_budget(const BudgetOptions& budget, bool asked);

/// Steps until `examples` have been trained on, of epochs of `per_epoch` steps with `batch` examples each but
/// for the last one; an epoch has `examples_per_epoch`.
int64_t steps_for(int64_t examples, int64_t per_epoch, int64_t batch, int64_t examples_per_epoch);

}  // namespace gw::inline train
