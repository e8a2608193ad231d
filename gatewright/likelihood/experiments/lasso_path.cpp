#include <algorithm>
#include <cmath>
#include <numeric>

#include "gatewright/base/check.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/experiment.h"
#include "gatewright/likelihood/lasso.h"
#include "gatewright/likelihood/theory/model_options.h"

namespace gw::likelihood {
namespace {

/// Risk and support of the penalised mixture against the penalty, beside the unpenalised fit and the one that
/// knows the active columns.
/// Math:    curves over lambda in units of sqrt(log(2p) / n): risk (mean held-out log-likelihood gap to the
///          truth), f1 (of the slopes that are not zero, over the best matching of experts), bound_ratio
///          (risk / (1.007 · lambda · pen(truth) + lambda): the oracle inequality without its lower-order
///          terms holds where it is at most 1). Scalars: risk_best, risk_mle, risk_oracle, best_over_mle,
///          best_over_oracle, f1_best, f1_at_risk_best, regret (by how much, at most, a path from the truth
///          lies below what the search found; the lower of the two is what all values are taken of).
/// Shapes:  `rows` × `columns` inputs, of which the first `truth.inputs` are active.
/// Errors:  ValueError for a truth that is no softmax-gated Gaussian mixture, or for fewer columns than its
///          inputs.
/// Cost:    replications · (two paths + two fits without penalty).
/// Source:  Nguyen, Nguyen, Chamroukhi, McLachlan 2020, arXiv 2009.10622; a theory paper without simulations:
///          the set-up is ours, slopes are penalised per sigma (see gatewright/likelihood/lasso.h), and 1.007
///          = 1 + 1/kappa with the theorem's least kappa = 148.
class LassoPath : public Experiment {
 public:
  static constexpr const char* kSummary = "risk and support of the l1-penalised mixture against the penalty";
  static constexpr const char* kSource = "Nguyen, Nguyen, Chamroukhi, McLachlan 2020, arXiv 2009.10622";
  struct Options : OptionSet {
    Nested<TruthOptions> truth = Json::parse(R"({"inputs":2,"gate_bias":[0,0],"gate_slope":[3,0,0,0],
        "intercept":[1,-1],"slope":[0,3,0,-3],"scale":[0.5,0.5]})");
    int64_t rows = 80, columns = 8, replications = 3, penalties = 5, test_rows = 2000, starts = 1;
    double largest = 2, smallest = 0.2, slope_from = 0;
    bool scaled = true;
    void fields(OptionVisitor& v) override {
      v.table("truth", truth, "parameters of the true model over the active columns");
      v.integer("rows", rows, "n", 4, 1000000);
      v.integer("columns", columns, "p", 1, 100000);
      v.integer("replications", replications, "samples", 1, 100000);
      v.integer("penalties", penalties, "values of lambda", 2, 1000);
      v.integer("test_rows", test_rows, "rows of the held-out sample", 100, 10000000);
      v.integer("starts", starts, "of a path", 1, 1000);
      v.real("largest", largest, "largest lambda / sqrt(log(2p) / n)", 1e-6, 1e6);
      v.real("smallest", smallest, "smallest lambda / sqrt(log(2p) / n)", 1e-6, 1e6);
      v.real("slope_from", slope_from, "slopes and worst medians from here on along the axis", 0, kInfinity);
      v.flag("scaled", scaled, "penalise slopes in units of their expert's standard deviation");
    }
  };

  LassoPath(const Options& options, const Context& context)
      : options_(options),
        rng_(Rng(context.seed).fork("experiments/lasso_path")),
        active_(true_model("experiments/lasso_path truth", *options.truth)) {
    GW_CHECK(active_.spec.family == Family("gaussian") && active_.spec.gate.kind == GateKind("softmax"),
             "experiments/lasso_path: expected a softmax-gated gaussian truth, got {} and {}",
             name_of(active_.spec.gate.kind), name_of(active_.spec.family));
    GW_CHECK(options.columns >= active_.parameters.inputs,
             "experiments/lasso_path: expected at least the truth's {} columns, got {}",
             active_.parameters.inputs, options.columns);
    GW_CHECK(options.smallest < options.largest,
             "experiments/lasso_path: expected smallest < largest, got {} and {}", options.smallest,
             options.largest);
    law_.d = options.columns;
    pad();
  }

  const char* axis() const override { return "lambda / sqrt(log(2p)/n)"; }
  int64_t trials() const override { return options_.replications; }
  TrialNames measures() const override {
    return {{"risk", "f1", "bound_ratio"},
            {"regret", "risk_best", "f1_at_risk_best", "f1_best", "risk_mle", "risk_oracle", "best_over_mle",
             "best_over_oracle"}};
  }
  double slope_from() const override { return options_.slope_from; }

  Trial trial(int64_t index) const override {
    const Rng rng = rng_.fork("trial", static_cast<uint64_t>(index));
    const auto data = simulate(active_.spec, truth_, law_, options_.rows, rng.fork("fit"));
    const auto test = simulate(active_.spec, truth_, law_, options_.test_rows, rng.fork("test"));
    const double ceiling = log_likelihood(active_.spec, truth_, test.view());
    const auto risk = [&](const LassoFit& fit) {
      return (ceiling - log_likelihood(active_.spec, fit.parameters, test.view())) /
             static_cast<double>(options_.test_rows);
    };
    LassoOptions lasso;
    lasso.starts = options_.starts, lasso.scaled = options_.scaled;
    const double unit =
        std::sqrt(std::log(2.0 * static_cast<double>(options_.columns)) / static_cast<double>(options_.rows));
    const auto grid =
        penalty_grid(options_.largest * unit, options_.smallest / options_.largest, options_.penalties);
    auto path = lasso_path(data.view(), active_.spec, grid, rng.fork("path").key(), lasso);
    Trial trial;
    trial.scalars["regret"] = improve(path, data, grid, lasso);
    size_t best = 0;
    for (size_t i = 0; i < path.size(); ++i) {
      const double at = risk(path[i]);
      trial.points.push_back(
          {grid[i] / unit,
           {{"risk", at}, {"f1", f1(path[i].parameters)}, {"bound_ratio", at / bound(grid[i])}}});
      if (at < trial.points[best].values["risk"]) best = i;
    }
    auto& scalars = trial.scalars;
    scalars["risk_best"] = trial.points[best].values["risk"];
    scalars["f1_at_risk_best"] = trial.points[best].values["f1"];
    for (auto& point : trial.points) scalars["f1_best"] = std::max(scalars["f1_best"], point.values["f1"]);
    scalars["risk_mle"] = risk(fit_lasso(data.view(), active_.spec, 0, truth_, lasso));
    auto oracle = lasso;
    oracle.columns.emplace(static_cast<size_t>(active_.parameters.inputs));
    std::iota(oracle.columns->begin(), oracle.columns->end(), int64_t{0});
    scalars["risk_oracle"] = risk(fit_lasso(data.view(), active_.spec, 0, truth_, oracle));
    scalars["best_over_mle"] = scalars["risk_best"] / scalars["risk_mle"];
    scalars["best_over_oracle"] = scalars["risk_best"] / scalars["risk_oracle"];
    return trial;
  }

 private:
  /// The truth with zero slopes for the columns that do nothing.
  void pad() {
    const auto& a = active_.parameters;
    truth_ = make_parameters(active_.spec, options_.columns);
    truth_.gate_bias = a.gate_bias, truth_.intercept = a.intercept, truth_.scale = a.scale;
    for (int64_t k = 0; k < a.experts; ++k) {
      for (int64_t j = 0; j < a.inputs; ++j) {
        const auto from = static_cast<size_t>(k * a.inputs + j),
                   to = static_cast<size_t>(k * options_.columns + j);
        truth_.gate_slope[to] = a.gate_slope[from];
        truth_.slope[to] = a.slope[from];
      }
    }
  }

  // Columns are uniform on [0, 1]: their standard deviation is 1/sqrt(12), and a standardised slope is the
  // slope times that.
  double bound(double lambda) const {
    double norm = 0;
    for (size_t i = 0; i < truth_.slope.size(); ++i) {
      const size_t k = i / static_cast<size_t>(options_.columns);
      norm += std::abs(truth_.slope[i]) / (options_.scaled ? truth_.scale[k] : 1) +
              std::abs(truth_.gate_slope[i]);
    }
    return lambda * ((1 + 1.0 / 148) * norm / std::sqrt(12.0) + 1);
  }

  /// Harmonic mean of precision and recall of the slopes that are not zero. A gate's columns count once,
  /// whichever expert is pinned.
  double f1(const MixtureParameters& fit) const {
    std::vector<int64_t> order(static_cast<size_t>(fit.experts));
    std::iota(order.begin(), order.end(), 0);
    double best = 0;
    do {
      int64_t hits = 0, found = 0, real = 0;
      const auto count = [&](bool has, bool should) { hits += has && should, found += has, real += should; };
      for (int64_t j = 0; j < options_.columns; ++j) {
        bool has = false, should = false;
        for (int64_t k = 0; k < fit.experts; ++k) {
          const auto own = static_cast<size_t>(order[static_cast<size_t>(k)] * options_.columns + j),
                     true_at = static_cast<size_t>(k * options_.columns + j);
          count(fit.slope[own] != 0, truth_.slope[true_at] != 0);
          has = has || fit.gate_slope[own] != 0, should = should || truth_.gate_slope[true_at] != 0;
        }
        count(has, should);
      }
      best = std::max(
          best, found + real > 0 ? 2.0 * static_cast<double>(hits) / static_cast<double>(found + real) : 0);
    } while (std::next_permutation(order.begin(), order.end()));
    return best;
  }

  /// The theory is about the least objective, wherever it is found: a path from the truth replaces what the
  /// search found where it is lower. Returns the largest such difference.
  double improve(std::vector<LassoFit>& path, const SimulatedData& data, const std::vector<double>& grid,
                 LassoOptions lasso) const {
    lasso.starts = 0;
    auto from_truth = lasso_path(data.view(), active_.spec, grid, 0, lasso, {truth_});
    double largest = 0;
    for (size_t i = 0; i < path.size(); ++i) {
      const double gain = path[i].objective - from_truth[i].objective;
      if (gain > 0) path[i] = std::move(from_truth[i]);
      largest = std::max(largest, gain);
    }
    return largest;
  }

  Options options_;
  Rng rng_;
  TrueModel active_;
  MixtureParameters truth_;
  InputDistribution law_;
};

}  // namespace
}  // namespace gw::likelihood

GW_REGISTER(gw::likelihood::Experiment, likelihood::LassoPath);
