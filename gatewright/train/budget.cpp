#include "gatewright/train/budget.h"

#include <algorithm>

#include "gatewright/base/check.h"

namespace gw::inline train {

void BudgetOptions::fields(OptionVisitor& v) {
  v.integer("examples", examples, "training examples, each as often as it is met", 0, int64_t{1} << 60);
  v.integer("tokens", tokens, "training tokens, of data that have them", 0, int64_t{1} << 60);
  v.real("macs", macs, "multiply-adds of the forward passes: macs of the results, for each example", 0, 1e30);
  v.real("seconds", seconds, "of training and validation by the clock; not reproducible bit for bit", 0, 1e9);
}

void check_budget(const BudgetOptions& budget, bool asked) {
  const auto named = (budget.examples > 0) + (budget.tokens > 0) + (budget.macs > 0) + (budget.seconds > 0);
  GW_CHECK(
      !asked || named == 1,
      "budget: expected exactly one of examples, tokens, macs and seconds above 0, got {}; leave the table "
      "out to train for epochs",
      named);
}

int64_t steps_for(int64_t examples, int64_t per_epoch, int64_t batch, int64_t examples_per_epoch) {
  const int64_t rest = examples % examples_per_epoch;
  return examples / examples_per_epoch * per_epoch + std::min((rest + batch - 1) / batch, per_epoch);
}

}  // namespace gw::inline train
