#pragma once
// Handing the unsure inputs to somebody else: thresholds on a score, set on held-out examples so that the
// error of what is kept has a bound.
#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

namespace gw::inline train {

/// How sure logits are: larger is surer.
///   max_probability  log p / (1 − p) of the largest class's probability p: the same order as p, and not
///                    rounded to 1 where p is
///   margin           the largest logit minus the second
///   entropy          minus the entropy of the probabilities, in nats
/// Shapes: logits [n, C], C ≥ 2 → [n] f64. Errors: ValueError for other shapes and names.
at::Tensor sureness(const std::string& score, const at::Tensor& logits);
const std::vector<std::string>& sureness_names();

/// P(X ≤ errors) of X ~ Bin(trials, chance), by summing. Errors: ValueError unless 0 ≤ errors ≤ trials and
/// 0 ≤ chance ≤ 1. Cost: errors + 1 terms.
double binomial_below(int64_t errors, int64_t trials, double chance);
/// The largest chance under which `errors` or fewer are no rarer than 1 − confidence: the exact one-sided
/// upper limit of Clopper and Pearson; 1 where all trials are errors.
double binomial_upper(int64_t errors, int64_t trials, double confidence);

/// Held-out examples as calibration sees them.
struct Calibration {
  std::vector<double> sure;
  std::vector<bool> wrong;
};

/// What the bound is about.
///   selective  P(error among the kept) ≤ bound with probability ≥ confidence over the held-out examples: a
///              fixed sequence of exact binomial tests from the strictest threshold down, which ends at the
///              first that does not reject (Angelopoulos et al. 2021, arXiv 2110.01052)
///   expected   E[error and kept] ≤ bound for a new input, on average over held-out examples: conformal risk
///              control (Angelopoulos et al. 2022, arXiv 2208.02814). Errors count over all inputs, not over
///              the kept ones
///   none       the lowest threshold whose measured error among the kept is at most the bound: no promise
struct DeferralBound {
  std::string method = "selective";
  double bound = 0.05, confidence = 0.9;
};

/// Kept is what scores at or above `threshold`; infinite: nothing is kept, since nothing meets the bound.
struct DeferralRule {
  double threshold = 0;
  int64_t kept = 0, wrong = 0;  ///< of the held-out examples
};

/// Thresholds to try, from strict to lax: `count` quantiles of scores of examples that are *not* among those
/// calibrated on, or the tests would not be independent of the places where they are made.
std::vector<double> deferral_grid(std::vector<double> sure, int64_t count);

/// The laxest threshold of the grid that meets the bound. Held-out examples and new inputs must be
/// exchangeable: no promise survives a shift of the data, and none holds for a class or a group by itself.
/// `selective` starts at the first threshold that is expected to keep enough: twice the trials that an
/// errorless test needs, by the grid's own shares.
/// Errors: ValueError for an empty or unsorted grid, no examples, lists of unequal length, and numbers out of
///         range.
DeferralRule calibrate_deferral(const Calibration& held_out, const std::vector<double>& grid,
                                const DeferralBound& bound);

/// Accuracy of the kept by share kept, from the surest example to all, at every example (ties together).
struct CoverageCurve {
  std::vector<double> coverage, accuracy;
  double area_of_risk = 0;  ///< mean error of the kept over all coverages (AURC); less is better
};
CoverageCurve coverage_curve(const Calibration& examples);

/// Answers the sure inputs itself, and hands the others, and only those, to an expert outside.
class Deferral {
 public:
  /// The expert gets positions [m] int64 of the deferred inputs and returns their labels [m] int64.
  using Expert = std::function<at::Tensor(const at::Tensor& positions)>;
  Deferral(std::string score, double threshold, Expert expert)
      : score_(std::move(score)), threshold_(threshold), expert_(std::move(expert)) {}

  struct Answer {
    at::Tensor label;     ///< [n] int64
    at::Tensor deferred;  ///< [n] bool
  };
  /// Errors: those of `sureness`; ValueError for an expert that answers with another number of labels.
  Answer answer(const at::Tensor& logits) const;

 private:
  std::string score_;
  double threshold_;
  Expert expert_;
};

}  // namespace gw::inline train
