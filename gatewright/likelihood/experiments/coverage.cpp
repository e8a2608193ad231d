#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "gatewright/base/check.h"
#include "gatewright/base/distributions.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/experiment.h"
#include "gatewright/likelihood/location_scale.h"
#include "gatewright/likelihood/predict.h"
#include "gatewright/likelihood/small_sample.h"
#include "gatewright/likelihood/theory/model_options.h"

namespace gw::likelihood {
namespace {

/// How often what a fit promises is kept: samples from a known model, fitted as `gatewright fit` does, and
/// new rows.
/// Math:    per trial, curves over n: inside (share of new rows whose y lies in the interval of `level`),
///          width (of the interval, mean over new rows, in units of the true model's own), mean_told (share
///          of new x whose mean has an error), and of these: mean_covered (the true mean lies in the mean's
///          interval), mean_inside (within the normal quantile times its error). Scalars `<name>_<n>`, of
///          which the runner takes means: the same; slope_miss_<n>, slope_miss_robust_<n> and
///          slope_miss_t_<n> (share of experts' slopes with |estimate - truth| beyond the normal quantile
///          times the error, or the robust error, and beyond Student's quantile times the error of few rows);
///          kept_<n> (fits that no rule excludes; only these enter the others).
/// Shapes:  one input column.
/// Errors:  ValueError for a truth of classes, or with more than one input.
/// Cost:    replications · sizes · (a fit of `starts` starts + new_rows quantiles).
class Coverage : public Experiment {
 public:
  static constexpr const char* kSummary = "how often intervals and errors of a fit hold what they promise";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {
    Nested<TruthOptions> truth{Json{{"gate_bias", {-0.5, 0}},
                                    {"gate_slope", {2.5, 0}},
                                    {"intercept", {1, -1}},
                                    {"slope", {-2, 3}},
                                    {"scale", {0.3, 0.5}}}};
    Nested<InputDistributionOptions> design{Json{{"lo", -2}, {"hi", 2}}};
    std::string family = "gaussian";
    std::vector<double> sizes = {30, 60};
    int64_t replications = 3, new_rows = 20, starts = 3;
    double level = 0.95;
    void fields(OptionVisitor& v) override {
      v.table("truth", truth, "gate and parameters of the true model");
      v.table("design", design, "distribution of x");
      v.text("family", family, "family that is fitted", {"gaussian", "laplace", "student_t"});
      v.reals("sizes", sizes, "numbers of rows", 5, 1e7);
      v.integer("replications", replications, "samples of each size", 1, 1000000);
      v.integer("new_rows", new_rows, "new rows for each sample", 1, 1000000);
      v.integer("starts", starts, "of a fit", 1, 1000);
      v.real("level", level, "of intervals and tests", 0.5, 0.9999);
    }
  };

  Coverage(const Options& options, const Context& context)
      : options_(options),
        rng_(Rng(context.seed).fork("experiments/coverage")),
        truth_(true_model("experiments/coverage truth", *options.truth)),
        fitted_(truth_.spec),
        design_(input_distribution("experiments/coverage design", *options.design)) {
    GW_CHECK(truth_.spec.family == Family("gaussian") && truth_.parameters.inputs == 1,
             "experiments/coverage: expected a gaussian truth with 1 input, got {} with {}",
             name_of(truth_.spec.family), truth_.parameters.inputs);
    GW_CHECK(!options.sizes.empty(), "experiments/coverage: expected at least one size, got none");
    fitted_.family = likelihood::family(options.family);
  }

  const char* axis() const override { return "n"; }
  int64_t trials() const override {
    return static_cast<int64_t>(options_.sizes.size()) * options_.replications;
  }
  TrialNames measures() const override {
    TrialNames names{{"inside", "width", "mean_told", "mean_inside", "mean_covered"}, {}};
    for (const double size : options_.sizes) {
      const auto n = static_cast<int64_t>(size);
      for (const char* name : {"kept", "inside", "width", "mean_told", "mean_inside", "mean_covered",
                               "slope_miss", "slope_miss_t", "slope_miss_robust"})
        names.scalars.push_back(named(name, n));
    }
    return names;
  }
  double work(int64_t index) const override { return static_cast<double>(size_of(index)); }

  Trial trial(int64_t index) const override {
    const int64_t n = size_of(index);
    const Rng rng = rng_.fork("trial", static_cast<uint64_t>(index));
    const auto data = simulate(truth_.spec, truth_.parameters, design_, n, rng);
    FitOptions options;
    options.starts = options_.starts;
    const auto result = fit(data.view(), fitted_, rng.fork("fit").key(), options);
    Trial trial;
    trial.scalars[named("kept", n)] = result.degenerate ? 0 : 1;
    if (result.degenerate) return trial;
    const auto inference = infer(result, data.view());
    TrialPoint point{static_cast<double>(n), {}};
    predict_new(result, inference, rng.fork("new"), point.values);
    for (const auto& [name, value] : point.values) trial.scalars[named(name, n)] = value;
    trial.points.push_back(std::move(point));
    test_slopes(result, inference, n, trial.scalars);
    return trial;
  }

 private:
  static std::string named(const std::string& name, int64_t n) { return fmt::format("{}_{}", name, n); }
  int64_t size_of(int64_t index) const {
    return static_cast<int64_t>(options_.sizes[static_cast<size_t>(index / options_.replications)]);
  }

  void predict_new(const FitResult& result, const Inference& inference, const Rng& rng,
                   std::map<std::string, double>& values) const {
    const auto rows = simulate(truth_.spec, truth_.parameters, design_, options_.new_rows, rng);
    const double quantile = normal_quantile(0.5 + options_.level / 2),
                 each = 1 / static_cast<double>(options_.new_rows);
    double told = 0;
    for (size_t i = 0; i < rows.y.size(); ++i) {
      const auto got = predict(fitted_, result.parameters, &rows.x[i], options_.level, &inference);
      const auto real = predict(truth_.spec, truth_.parameters, &rows.x[i], options_.level, nullptr);
      values["inside"] += each * (rows.y[i] >= got.low && rows.y[i] <= got.high ? 1 : 0);
      values["width"] += each * (got.high - got.low) / (real.high - real.low);
      if (!got.mean_interval) continue;
      told += each;
      values["mean_inside"] += each * (std::abs(got.mean - real.mean) <= quantile * *got.mean_error ? 1 : 0);
      values["mean_covered"] +=
          each * (real.mean >= got.mean_interval->low && real.mean <= got.mean_interval->high ? 1 : 0);
    }
    for (const char* name : {"mean_inside", "mean_covered"}) {
      if (told > 0) values[name] /= told;
    }
    values["mean_told"] = told;
  }

  /// Experts have no order: the one in which slopes are nearest to the truth.
  void test_slopes(const FitResult& result, const Inference& inference, int64_t n,
                   std::map<std::string, double>& scalars) const {
    const auto experts = static_cast<size_t>(result.spec.experts);
    std::vector<size_t> order(experts), best;
    for (size_t k = 0; k < experts; ++k) order[k] = k;
    double nearest = std::numeric_limits<double>::infinity();
    do {
      double distance = 0;
      for (size_t k = 0; k < experts; ++k)
        distance += std::abs(result.parameters.slope[k] - truth_.parameters.slope[order[k]]);
      if (distance < nearest) nearest = distance, best = order;
    } while (std::next_permutation(order.begin(), order.end()));
    const double quantile = normal_quantile(0.5 + options_.level / 2);
    double count = 0, misses = 0, robust = 0, by_t = 0;
    for (size_t i = 0; i < inference.parameter.size(); ++i) {
      if (inference.parameter[i].kind != FreeParameter::Kind::kSlope || !inference.error[i] ||
          !inference.robust_error[i])
        continue;
      const double off =
          std::abs(inference.estimate[i] -
                   truth_.parameters.slope[best[static_cast<size_t>(inference.parameter[i].expert)]]);
      ++count, misses += off > quantile * *inference.error[i],
          robust += off > quantile * *inference.robust_error[i];
      const auto small =
          small_sample(result.spec, result.parameters, inference, inference.parameter[i].expert);
      if (small)
        by_t += off > small->factor * *inference.error[i] *
                          student_quantile(0.5 + options_.level / 2, small->freedom);
    }
    if (count == 0) return;
    scalars[named("slope_miss", n)] = misses / count;
    scalars[named("slope_miss_robust", n)] = robust / count;
    if (fitted_.family->location_scale()->least_squares()) scalars[named("slope_miss_t", n)] = by_t / count;
  }

  Options options_;
  Rng rng_;
  TrueModel truth_;
  MixtureSpec fitted_;
  InputDistribution design_;
};

}  // namespace
}  // namespace gw::likelihood

GW_REGISTER(gw::likelihood::Experiment, likelihood::Coverage);
