#pragma once
// One vector out of several, some of which may come from somebody who lies.
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "gatewright/base/options.h"

namespace gw::inline train {

struct RobustRule {
  std::string name = "mean";  ///< mean, clipped, trimmed, median
  double clip = 1;            ///< clipped: times the median length of the steps of a round
  double trim = 0.2;          ///< trimmed: share of the senders that is left out at either end
  void visit(OptionVisitor& v);
};

/// What somebody sent, and the examples that stand behind it.
struct SentVector {
  at::Tensor value;  ///< [P] f32
  double examples = 0;
};

/// The vector that follows `now`, which all of `sent` started from.
/// Math:   mean     Σ n_i v_i / Σ n_i
///         clipped  now + Σ n_i min(1, limit / ‖d_i‖) d_i / Σ n_i, d_i = v_i − now
///         trimmed  of each coordinate the mean without the ⌈trim · m⌉ least and largest of m, as far as one
///         is
///                  left; n_i do not count
///         median   of each coordinate the median, of an even m the mean of the middle two; n_i do not count
/// Shapes: now [P], at least one of `sent` → [P] f32. Cost: O(m P), O(m log m · P) for the last two.
/// Bounds: one liar of m moves a mean anywhere, a clipped mean by at most limit · n / Σ n, and the last two
///         not beyond what the honest sent, if m is at least three: with two, all but `clipped` are the mean.
/// Source: clipped: Sun et al. 2019, arXiv 1911.07963 (differs: `limit` is not a constant but follows the
///         median of the round, steps_limit); trimmed, median: Yin et al. 2018, arXiv 1803.01498.
at::Tensor robust_mean(const at::Tensor& now, const std::vector<SentVector>& sent, const RobustRule& rule,
                       double limit);

/// clip times the median of the lengths; 0 for none. The median of the liars' and the honest's is one of the
/// honest's, or between two of theirs, while fewer than half of them lie.
double steps_limit(std::vector<double> lengths, const RobustRule& rule);

}  // namespace gw::inline train
