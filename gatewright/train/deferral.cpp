#include "gatewright/train/deferral.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "gatewright/base/check.h"

namespace gw::inline train {
namespace {

constexpr double kNothing = std::numeric_limits<double>::infinity();

void check_promise(const DeferralBound& bound) {
  GW_CHECK(bound.bound > 0 && bound.bound < 1, "deferral: expected a bound within (0, 1), got {:g}",
           bound.bound);
  GW_CHECK(bound.confidence > 0 && bound.confidence < 1,
           "deferral: expected a confidence within (0, 1), got {:g}", bound.confidence);
  const bool known = bound.method == "selective" || bound.method == "expected" || bound.method == "none";
  GW_CHECK(known, "deferral: unknown method \"{}\"{}", bound.method,
           near_miss(bound.method, {"selective", "expected", "none"}));
}

/// Held-out examples from the surest down, with the errors among the first so many.
class Sorted {
 public:
  explicit Sorted(const Calibration& examples) : order_(examples.sure.size()), wrong_(1, 0) {
    std::iota(order_.begin(), order_.end(), size_t{0});
    std::stable_sort(order_.begin(), order_.end(),
                     [&](size_t a, size_t b) { return examples.sure[a] > examples.sure[b]; });
    for (const size_t i : order_)
      sure_.push_back(examples.sure[i]), wrong_.push_back(wrong_.back() + examples.wrong[i]);
  }
  int64_t size() const { return static_cast<int64_t>(sure_.size()); }
  double sure(int64_t i) const { return sure_[static_cast<size_t>(i)]; }
  DeferralRule rule(double threshold) const {
    const auto kept =
        std::partition_point(sure_.begin(), sure_.end(), [&](double s) { return s >= threshold; }) -
        sure_.begin();
    return {threshold, kept, wrong_[static_cast<size_t>(kept)]};
  }
  int64_t wrong(int64_t kept) const { return wrong_[static_cast<size_t>(kept)]; }

 private:
  std::vector<size_t> order_;
  std::vector<double> sure_;
  std::vector<int64_t> wrong_;
};

/// The place of the grid's first threshold that is expected to keep `needed` of n examples. The grid is made
/// of quantiles, so that a place is a share.
size_t first_place(size_t places, int64_t n, double needed) {
  const double share = std::min(needed / static_cast<double>(n), 1.0);
  return std::min(static_cast<size_t>(std::ceil(share * static_cast<double>(places))), places - 1);
}

bool meets(const DeferralRule& rule, int64_t n, const DeferralBound& bound) {
  const auto wrong = static_cast<double>(rule.wrong), kept = static_cast<double>(rule.kept);
  if (bound.method == "selective")
    return binomial_below(rule.wrong, rule.kept, bound.bound) <= 1 - bound.confidence;
  if (bound.method == "expected") return (wrong + 1) / static_cast<double>(n + 1) <= bound.bound;
  return kept > 0 && wrong <= bound.bound * kept;
}

}  // namespace

const std::vector<std::string>& sureness_names() {
  static const std::vector<std::string> names{"max_probability", "margin", "entropy"};
  return names;
}

at::Tensor sureness(const std::string& score, const at::Tensor& logits) {
  GW_CHECK(logits.dim() == 2 && logits.size(1) >= 2,
           "deferral: expected logits [n, C] of at least 2 classes, got {} dimensions", logits.dim());
  const auto log_p = at::log_softmax(logits.detach().to(at::kDouble), 1);
  const auto top = std::get<0>(log_p.topk(2, 1));
  if (score == "margin") return top.select(1, 0) - top.select(1, 1);
  if (score == "entropy") return (log_p.exp() * log_p).sum(1);
  GW_CHECK(score == "max_probability", "deferral: unknown score \"{}\"{}", score,
           near_miss(score, sureness_names()));
  // log(1 − p) from the other classes, or 1 − p would be 0.
  const auto rest = log_p.scatter(1, log_p.argmax(1, true), -std::numeric_limits<double>::infinity());
  return top.select(1, 0) - at::logsumexp(rest, {1});
}

double binomial_below(int64_t errors, int64_t trials, double chance) {
  GW_CHECK(errors >= 0 && errors <= trials && chance >= 0 && chance <= 1,
           "binomial: expected 0 <= errors <= trials and a chance within [0, 1], got {}, {} and {:g}", errors,
           trials, chance);
  if (errors == trials || chance == 0) return 1;
  if (chance == 1) return 0;
  const auto n = static_cast<double>(trials);
  double sum = 0;
  for (int64_t i = 0; i <= errors; ++i) {
    const auto k = static_cast<double>(i);
    sum += std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1) + k * std::log(chance) +
                    (n - k) * std::log1p(-chance));
  }
  return std::min(sum, 1.0);
}

double binomial_upper(int64_t errors, int64_t trials, double confidence) {
  if (errors >= trials) return 1;
  double lo = 0, hi = 1;
  for (int step = 0; step < 60; ++step) {
    const double middle = (lo + hi) / 2;
    (binomial_below(errors, trials, middle) > 1 - confidence ? lo : hi) = middle;
  }
  return hi;
}

std::vector<double> deferral_grid(std::vector<double> sure, int64_t count) {
  GW_CHECK(!sure.empty() && count >= 1, "deferral: expected scores and at least 1 threshold, got {} and {}",
           sure.size(), count);
  std::sort(sure.begin(), sure.end(), std::greater<>());
  std::vector<double> grid;
  for (int64_t i = 1; i <= count; ++i) {
    const auto place = static_cast<int64_t>(sure.size()) * i / count - 1;
    grid.push_back(sure[static_cast<size_t>(std::max<int64_t>(place, 0))]);
  }
  return grid;
}

DeferralRule calibrate_deferral(const Calibration& held_out, const std::vector<double>& grid,
                                const DeferralBound& bound) {
  check_promise(bound);
  GW_CHECK(!held_out.sure.empty() && held_out.sure.size() == held_out.wrong.size(),
           "deferral: expected held-out scores and as many errors, got {} and {}", held_out.sure.size(),
           held_out.wrong.size());
  GW_CHECK(!grid.empty() && std::is_sorted(grid.rbegin(), grid.rend()),
           "deferral: expected thresholds from strict to lax, got {} in another order", grid.size());
  const Sorted sorted(held_out);
  const int64_t n = sorted.size();
  const bool selective = bound.method == "selective";
  const double errorless = std::log(1 - bound.confidence) / std::log1p(-bound.bound);
  DeferralRule best{kNothing, 0, 0};
  for (size_t i = selective ? first_place(grid.size(), n, 2 * errorless) : 0; i < grid.size(); ++i) {
    const auto rule = sorted.rule(grid[i]);
    if (meets(rule, n, bound)) {
      best = rule;
    } else if (bound.method != "none") {
      break;  // a later threshold may not be tried: the sequence is what keeps the chance of a false promise
    }
  }
  return best;
}

CoverageCurve coverage_curve(const Calibration& examples) {
  GW_CHECK(!examples.sure.empty() && examples.sure.size() == examples.wrong.size(),
           "deferral: expected scores and as many errors, got {} and {}", examples.sure.size(),
           examples.wrong.size());
  const Sorted sorted(examples);
  const int64_t n = sorted.size();
  CoverageCurve curve;
  for (int64_t kept = 1; kept <= n; ++kept) {
    const double risk = static_cast<double>(sorted.wrong(kept)) / static_cast<double>(kept);
    curve.area_of_risk += risk / static_cast<double>(n);
    if (kept < n && sorted.sure(kept) == sorted.sure(kept - 1)) continue;
    curve.coverage.push_back(static_cast<double>(kept) / static_cast<double>(n));
    curve.accuracy.push_back(1 - risk);
  }
  return curve;
}

Deferral::Answer Deferral::answer(const at::Tensor& logits) const {
  Answer out{logits.argmax(1), sureness(score_, logits) < threshold_};
  const auto positions = out.deferred.nonzero().squeeze(1);
  if (positions.numel() == 0) return out;
  const auto labels = expert_(positions);
  GW_CHECK(labels.dim() == 1 && labels.numel() == positions.numel(),
           "deferral: expected a label for each of {} deferred inputs from the expert, got {}",
           positions.numel(), labels.numel());
  out.label = out.label.index_copy(0, positions, labels.to(at::kLong));
  return out;
}

}  // namespace gw::inline train
