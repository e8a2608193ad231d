#pragma once
#include "base/error.h"

namespace gw {

/// A computation became NaN or infinite: a learning rate too high, poisoned weights, damaged data. Training names the step
/// and keeps its last good checkpoint. Exit code 2.
class NumericError : public ValueError {
 public:
  using ValueError::ValueError;
};

}  // namespace gw
