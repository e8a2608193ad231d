#pragma once
// The benchmark of the feed-forward kernels: each case beside the roof that binds it and beside libtorch's
// loop over experts.
#include <functional>
#include <string>
#include <vector>

#include "gatewright/ops/peak.h"

namespace gw {

/// One line of the benchmark. Shapes as in docs/performance.md.
struct MoeBenchCase {
  enum class Mode { forward, training };
  /// What the mark is: roof time / our time, loop time / our time, time with uniform routes / our time (all
  /// at least), or time to choose and sort the rows / our time (at most).
  enum class Against { roof, loop, balanced, bookkeeping };
  std::string name;
  int64_t experts, k, in, hidden, tokens;
  bool glu, bf16;
  Mode mode;
  double zipf;  ///< 0: uniform routes; else the exponent of the experts' popularity
  Against against;
  double mark;
  int64_t bits = 0, group = 0;  ///< of quantised weights (forward, x in bf16); 0: none
};

struct MoeBenchResult {
  MoeBenchCase test;               ///< with the mark of `level`; 0: published, not judged
  std::string level;               ///< of the kernel family that the case takes
  double seconds = 0, spread = 0;  ///< median, and (third - first quartile) / median
  double gflops = 0, gbytes = 0;   ///< operations, and bytes of the weights of experts with rows, a second
  double roof = 0;  ///< share of whichever roof binds: operations at the measured peak or bytes at the
                    ///< measured read rate
  bool memory_bound = false;
  ops::Peaks peaks;         ///< medians of this case's own rounds
  double loop_seconds = 0;  ///< libtorch's loop over experts, in turns with ours
  double balanced_seconds =
      0;  ///< the same weights with uniform routes, in turns with ours; 0 unless the mark asks for it
  double bookkeeping = 0;  ///< choosing and sorting rows (top_k, plan) / our time
  double error = 0;        ///< largest difference from the loop's answer, relative to its largest value
  bool holds = false;
};

/// All cases with their marks.
const std::vector<MoeBenchCase>& moe_bench_cases();

/// Runs one case: random weights, several sets of them in turn when they would fit a cache, random distinct
/// experts per token. Compares the answer (training: every gradient) with the loop's first. Errors:
/// InternalError when it differs by more than 1e-5 (bf16: 3e-2).
/// The roof is measured in turns with the case: medians of both are compared.
MoeBenchResult run_moe_bench(const MoeBenchCase& test, ops::PeakProbe& probe, int rounds,
                             const std::function<double()>& now_s);

}  // namespace gw
