#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "gatewright/base/check.h"
#include "gatewright/likelihood/experiment.h"
#include "gatewright/likelihood/theory/model_options.h"

namespace gw::likelihood {
namespace {

/// Rate of the exact maximum likelihood estimate of two experts under a top-1 gate: the gate is a cut of the
/// line, its likelihood is piecewise constant in the cut, so every cut between neighbours is tried, with both
/// experts in closed form (no start, no gradient).
/// Math:    for a cut after s sorted rows, log L = −s/2 log(RSS_left / s) − (n−s)/2 log(RSS_right / (n−s)) +
///          const, RSS of least squares lines
///          from prefix sums; the largest counts. Curves over n: experts (max over experts of |da| + |db| +
///          |d sigma²|), boundary (|cut − c*|, c* = −b0/b1: all of the gate that is identified), hits (share
///          of rows on the right side).
/// Shapes:  one input column, two gaussian experts.
/// Errors:  ValueError for another truth, or one whose cut lies outside the inputs' range.
/// Cost:    n log n a trial.
/// Source:  Nguyen, Akbarian, Yan, Ho 2024, arXiv 2309.13850, exact-specified case; differs: the published
///          script runs EM from near the truth with a gate that its M-step cannot move, and draws one data
///          set for all replications.
class TopOne : public Experiment {
 public:
  static constexpr const char* kSummary =
      "rate of two experts behind a top-1 gate, by exact search over the gate's cut";
  static constexpr const char* kSource = "Nguyen, Akbarian, Yan, Ho 2024, arXiv 2309.13850";
  struct Options : OptionSet {
    Nested<TruthOptions> truth{Json{{"gate", {{"kind", "top_k"}, {"top_k", 1}}},
                                    {"gate_bias", {-8, 0}},
                                    {"gate_slope", {25, 0}},
                                    {"intercept", {15, -5}},
                                    {"slope", {-20, 20}},
                                    {"scale", {0.3, 0.4}}}};
    Nested<InputDistributionOptions> design;
    std::vector<double> sizes = {200, 800};
    int64_t replications = 3;
    double slope_from = 0;
    void fields(OptionVisitor& v) override {
      v.table("truth", truth, "family, gate and parameters of the true model");
      v.table("design", design, "distribution of x");
      v.reals("sizes", sizes, "numbers of rows", 10, 1e8);
      v.integer("replications", replications, "samples of each size", 1, 100000);
      v.real("slope_from", slope_from, "slopes are fitted for n from here on", 0, kInfinity);
    }
  };

  TopOne(const Options& options, const Context& context)
      : options_(options),
        rng_(Rng(context.seed).fork("experiments/top_one")),
        truth_(true_model("experiments/top_one truth", *options.truth)),
        design_(input_distribution("experiments/top_one design", *options.design)) {
    const auto& p = truth_.parameters;
    const auto& spec = truth_.spec;
    GW_CHECK(
        p.experts == 2 && p.inputs == 1 && spec.family == Family("gaussian") &&
            spec.gate.kind == GateKind("top_k") && spec.gate.top_k == 1,
        "experiments/top_one: expected two gaussian experts, one input and a top-1 gate, got another truth");
    const double slope = p.gate_slope[0] - p.gate_slope[1];
    cut_ = -(p.gate_bias[0] - p.gate_bias[1]) / slope;
    left_ = slope > 0 ? 1 : 0;
    const bool inside =
        design_.kind == InputDistribution::Kind::kNormal || (cut_ > design_.lo && cut_ < design_.hi);
    GW_CHECK(std::isfinite(cut_) && inside,
             "experiments/top_one: expected a cut inside the inputs' range, got {}", cut_);
    GW_CHECK(!options.sizes.empty(), "experiments/top_one: expected at least one size, got none");
  }

  const char* axis() const override { return "n"; }
  int64_t trials() const override {
    return static_cast<int64_t>(options_.sizes.size()) * options_.replications;
  }
  TrialNames measures() const override { return {{"experts", "boundary", "hits"}, {}}; }
  double work(int64_t index) const override { return static_cast<double>(size_of(index)); }
  double slope_from() const override { return options_.slope_from; }

  Trial trial(int64_t index) const override {
    const int64_t n = size_of(index);
    const auto data = simulate(truth_.spec, truth_.parameters, design_, n,
                               rng_.fork("trial", static_cast<uint64_t>(index)));
    std::vector<size_t> order(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return data.x[a] < data.x[b]; });
    std::vector<Moments> prefix(order.size() + 1);
    for (size_t i = 0; i < order.size(); ++i)
      prefix[i + 1] = prefix[i].with(data.x[order[i]], data.y[order[i]]);
    size_t best = 0;
    double largest = -std::numeric_limits<double>::infinity();
    // At least 3 rows a side: two are met exactly by a line.
    for (size_t s = 3; s + 3 <= order.size(); ++s) {
      const double value =
          prefix[s].line().log_likelihood + (prefix.back() - prefix[s]).line().log_likelihood;
      if (value > largest) largest = value, best = s;
    }
    const Line lines[2] = {prefix[best].line(), (prefix.back() - prefix[best]).line()};
    const double cut = 0.5 * (data.x[order[best - 1]] + data.x[order[best]]);
    const double error = std::max(distance(lines[0], left_), distance(lines[1], 1 - left_));
    const auto wrong =
        std::count_if(data.x.begin(), data.x.end(), [&](double x) { return (x > cut) != (x > cut_); });
    const double hits = 1 - static_cast<double>(wrong) / static_cast<double>(n);
    return {
        {{static_cast<double>(n), {{"experts", error}, {"boundary", std::abs(cut - cut_)}, {"hits", hits}}}},
        {}};
  }

 private:
  struct Line {
    double intercept, slope, variance, log_likelihood;
  };
  struct Moments {
    double n = 0, x = 0, y = 0, xx = 0, xy = 0, yy = 0;
    Moments with(double u, double v) const {
      return {n + 1, x + u, y + v, xx + u * u, xy + u * v, yy + v * v};
    }
    Moments operator-(const Moments& o) const {
      return {n - o.n, x - o.x, y - o.y, xx - o.xx, xy - o.xy, yy - o.yy};
    }
    Line line() const {
      const double cxx = xx - x * x / n, cxy = xy - x * y / n, cyy = yy - y * y / n;
      const double slope = cxx > 0 ? cxy / cxx : 0;
      // Prefix sums lose digits: below this share of the whole a sum of squares is rounding.
      const double variance = std::max((cyy - slope * cxy) / n, 1e-10 * std::max(yy / n, 1e-10));
      return {(y - slope * x) / n, slope, variance, -0.5 * n * std::log(variance)};
    }
  };

  double distance(const Line& line, size_t expert) const {
    const auto& p = truth_.parameters;
    return std::abs(line.slope - p.slope[expert]) + std::abs(line.intercept - p.intercept[expert]) +
           std::abs(line.variance - p.scale[expert] * p.scale[expert]);
  }
  int64_t size_of(int64_t index) const {
    return static_cast<int64_t>(options_.sizes[static_cast<size_t>(index / options_.replications)]);
  }

  Options options_;
  Rng rng_;
  TrueModel truth_;
  InputDistribution design_;
  double cut_ = 0;
  size_t left_ = 0;
};

}  // namespace
}  // namespace gw::likelihood

GW_REGISTER(gw::likelihood::Experiment, likelihood::TopOne);
