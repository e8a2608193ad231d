#pragma once
#include "gatewright/runs/check_run.h"

namespace gw {

/// Prints every arm's results in the columns that it declares; arms of equal columns share a table.
void print_arms(const Recipe& recipe, const CheckOutcome& outcome);
/// Prints claim, mark, measured value and verdict of every mark, runs that ended without a result first.
void print_marks(const CheckOutcome& outcome);

}  // namespace gw
