#include <gtest/gtest.h>

#include <atomic>
#include <cmath>

#include "gatewright/likelihood/fit.h"
#include "tests/likelihood/samples.h"

namespace {

using namespace gw::likelihood;
using gw::test::crossing_lines;
using gw::test::Sample;

// Ctrl-C under a hundred thousand starts: short runs inside a start ask too, and starts that have not begun
// are left out. Without either this case takes minutes.
TEST(Fit, StopEndsItBetweenIterationsWithWhatItHas) {
  const Sample sample = crossing_lines(2000, 5);
  for (const int64_t allowed : {0, 3, 400}) {
    FitOptions options;
    options.starts = 100000, options.tolerance = 0;
    std::atomic<int64_t> asked = 0;
    options.stop = [&] { return asked++ >= allowed; };
    const auto result = fit(sample.view(), {}, 1, options);
    EXPECT_TRUE(std::isfinite(result.log_likelihood));
    EXPECT_LT(result.start_likelihood.size(), 500u);
    EXPECT_LT(asked, allowed + 101000);  // once for each start that is left out
  }
}

}  // namespace
