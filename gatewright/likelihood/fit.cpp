#include "gatewright/likelihood/fit.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>

#include "gatewright/base/check.h"
#include "gatewright/likelihood/chance.h"
#include "gatewright/likelihood/exclusion.h"
#include "gatewright/likelihood/experts_gaussian.h"
#include "gatewright/likelihood/inference.h"
#include "gatewright/likelihood/linear_algebra.h"
#include "gatewright/likelihood/location_scale.h"
#include "gatewright/likelihood/starts.h"
#include "gatewright/likelihood/trimmed_lines.h"

namespace gw::likelihood {
namespace {

constexpr double kDead = -std::numeric_limits<double>::infinity();

void check_options(const FitOptions& o) {
  GW_CHECK(o.starts >= 1 && o.starts <= 100000, "fit: expected 1 to 100000 starts, got {}", o.starts);
  GW_CHECK(o.replacements >= 0 && o.replacements <= 100000, "fit: expected 0 to 100000 replacements, got {}",
           o.replacements);
  GW_CHECK(o.max_iterations >= 1, "fit: expected at least one iteration, got {}", o.max_iterations);
  GW_CHECK(o.tolerance >= 0 && o.tolerance < 1, "fit: expected a tolerance in [0, 1), got {}", o.tolerance);
  GW_CHECK(o.gate_ridge >= 0 && std::isfinite(o.gate_ridge), "fit: expected a ridge of 0 or more, got {}",
           o.gate_ridge);
  GW_CHECK(o.class_ridge >= 1e-9 && std::isfinite(o.class_ridge),
           "fit: expected a class ridge of at least 1e-9, got {}; separated classes have no maximum without",
           o.class_ridge);
  GW_CHECK(o.least_rows >= 0 && std::isfinite(o.least_rows), "fit: expected least_rows of 0 or more, got {}",
           o.least_rows);
  GW_CHECK(o.min_scale > 0 && o.min_scale < 1, "fit: expected min_scale in (0, 1), got {}", o.min_scale);
}

/// Information criteria and standard errors take the sum of the weights for the number of rows.
void warn_of_weights(const Design& design, FitResult& result) {
  constexpr double kFar = 2;
  if (design.row_unit <= kFar && design.row_unit >= 1 / kFar) return;
  result.warnings.push_back(
      fmt::format("the weights add up to {:.3g} over {} rows: BIC, ICL and standard errors take that sum for "
                  "the number of rows; scale the "
                  "weights so that "
                  "they add up to the rows",
                  design.total_weight, design.rows));
}

void add_warnings(const EmProblem& problem, const EmRun& run, const DataView& data, FitResult& result) {
  if (!run.converged) {
    result.warnings.push_back(
        fmt::format("no convergence after {} iterations: the estimates are not the maximum yet; allow more",
                    run.iterations));
  }
  const double least = problem.least_mass();
  const auto rows = rows_held(problem.design(), run);
  for (size_t k = 0; k < run.mass.size(); ++k) {
    if (run.mass[k] < least)
      result.warnings.push_back(
          fmt::format("expert {} died: {:.3g} rows are left to it, too few for its coefficients; {}", k + 1,
                      rows[k], run.mass.size() > 1 ? "ask for fewer experts" : "leave columns out"));
    const bool has_scale = problem.spec().family->scaled();
    if (has_scale && run.parameters.scale[k] <= problem.options().min_scale) {
      result.warnings.push_back(fmt::format(
          "expert {} passes through its rows: its scale was stopped at {:.2g} deviations of the response",
          k + 1, problem.options().min_scale));
    }
  }
  const auto shape = problem.spec().family->shape();
  for (size_t k = 0; k < run.parameters.freedom.size(); ++k) {
    if (run.parameters.freedom[k] < shape->held_above) continue;
    result.warnings.push_back(fmt::format("expert {} {}", k + 1, shape->held_above_warning));
  }
  for (const int64_t k :
       chance_experts(result.spec, result.parameters, rows, data, problem.design().row_unit)) {
    result.warnings.push_back(
        fmt::format("expert {} holds {:.3g} rows within a scale of {:.3g}: planes like it are expected by "
                    "chance; ask for fewer experts",
                    k + 1, rows[static_cast<size_t>(k)], result.parameters.scale[static_cast<size_t>(k)]));
  }
}

FitResult to_result(const EmProblem& problem, const EmRun& run) {
  const auto& design = problem.design();
  FitResult result;
  result.spec = problem.spec();
  result.parameters = design.to_data(run.parameters);
  result.log_likelihood = run.log_likelihood + design.log_jacobian();
  result.iterations = run.iterations, result.converged = run.converged;
  result.trace = run.trace;
  for (auto& value : result.trace) value += design.log_jacobian();
  result.n = design.rows, result.d = design.d, result.weight = design.total_weight;
  warn_of_weights(design, result);
  return result;
}

/// Told the iterations so far and the log-likelihood of the standardised data; false ends the run.
using Tick = std::function<bool(int64_t, double)>;

/// Iterations, and steps of score over outer products where they creep.
EmRun maximise(const EmProblem& problem, const DataView& data, const MixtureParameters& start,
               const Tick& tick) {
  constexpr int64_t kPatience = 60, kBhhhSteps = 20;
  const auto& o = problem.options();
  const bool takes_bhhh_steps = o.accelerate && problem.soft() == nullptr;
  EmRun total;
  bool stopped = false;
  total.parameters = start;
  while (true) {
    const int64_t left = o.max_iterations - total.iterations;
    const auto relay = [&](const EmRun& run) {
      stopped = tick && !tick(total.iterations + run.iterations, run.log_likelihood);
      return !stopped;
    };
    EmRun run = problem.run(total.parameters, takes_bhhh_steps ? std::min(left, kPatience) : left,
                            o.tolerance, relay);
    run.iterations += total.iterations;
    run.trace.insert(run.trace.begin(), total.trace.begin(), total.trace.end());
    total = std::move(run);
    if (total.converged || stopped || total.iterations >= o.max_iterations || !takes_bhhh_steps) return total;
    problem.bhhh_steps(data, std::min(kBhhhSteps, o.max_iterations - total.iterations), total);
  }
}

/// The caller's `stop`, asked by one thread at a time from wherever iterations are.
FitOptions with_own_stop(const FitOptions& options, std::mutex& mutex) {
  FitOptions own = options;
  own.stop = [&mutex, stop = options.stop] {
    const std::lock_guard lock(mutex);
    return stop.requested();
  };
  return own;
}

/// Ends of all starts, filled by threads in any order.
struct Starts {
  const EmProblem& problem;
  const DataView& data;
  uint64_t seed;
  std::vector<EmRun> runs;
  std::mutex mutex;  // progress may be told by one thread at a time

  void run(int64_t s) {
    const auto& o = problem.options();
    if (s > 0 && o.stop.requested()) return;  // the first is run for a while: there is always a result
    const Rng rng = Rng(seed).fork("stats/start", static_cast<uint64_t>(s));
    const auto tell = [&](int64_t iterations, double log_likelihood, bool ended) {
      const std::lock_guard lock(mutex);
      if (o.progress)
        o.progress({s, o.starts, iterations, log_likelihood + problem.design().log_jacobian(), ended});
      return !o.stop.requested();
    };
    auto& run = runs[static_cast<size_t>(s)];
    const auto valid = [&](const EmProblem& of, const EmRun& ended) { return !excluded(of, ended, data); };
    run = maximise(problem, data, start_parameters(problem, o.start, s, rng, valid),
                   [&](int64_t iterations, double value) { return tell(iterations, value, false); });
    tell(run.iterations, run.log_likelihood, true);
  }
};

/// Few rows: one thread per run. Many: all threads within a pass (a parallel loop inside a parallel loop runs
/// on its own thread).
template <class Body>
void for_runs(int64_t rows, int64_t count, Body body) {
  constexpr int64_t kFewRows = 50000;
  if (rows <= kFewRows) return parallel_for(count, body);
  for (int64_t i = 0; i < count; ++i) body(i);
}

/// After the starts: experts give up their lines for random others, one at a time. Iterations do not lead
/// from one to the other, and starts must find all lines at once. What looks best after a few iterations is
/// followed to its end, and on from there as long as that is higher.
EmRun replace_lines(const EmProblem& problem, const DataView& data, const Rng& rng, const EmRun& from) {
  constexpr int64_t kRounds = 3, kShortRun = 20, kFollowed = 2;
  const auto& o = problem.options();
  EmRun best = from;
  bool dead = excluded(problem, best, data), rose = true;
  for (int64_t round = 0; round < kRounds && rose && !o.stop.requested(); ++round) {
    std::vector<EmRun> tried(static_cast<size_t>(o.replacements));
    const Rng own = rng.fork("round", static_cast<uint64_t>(round));
    for_runs(data.n, o.replacements, [&](int64_t c) {
      auto p = replaced_line(problem, best, c % problem.spec().experts,
                             own.fork("line", static_cast<uint64_t>(c)));
      tried[static_cast<size_t>(c)] = problem.run(p, kShortRun, 0);
    });
    std::erase_if(tried, [&](const EmRun& run) { return excluded(problem, run, data); });
    std::stable_sort(tried.begin(), tried.end(),
                     [](const EmRun& a, const EmRun& b) { return a.objective > b.objective; });
    rose = false;
    for (size_t i = 0; i < std::min<size_t>(kFollowed, tried.size()); ++i) {
      EmRun end =
          maximise(problem, data, tried[i].parameters, [&](int64_t, double) { return !o.stop.requested(); });
      const bool higher = dead || end.objective > best.objective + 1e-6 * (1 / problem.design().row_unit +
                                                                           std::abs(best.objective));
      if (!higher || excluded(problem, end, data)) continue;
      best = std::move(end), dead = false, rose = true;
    }
  }
  return best;
}

/// The rows with weight: those of weight 0 take part neither in starts nor in rules about rows.
struct WeightedRows {
  std::vector<double> x, y, weight;
  DataView view;

  WeightedRows(const DataView& data, const MixtureSpec& spec) : view(data) {
    check_spec(spec, data.d);
    check_data(data, spec);
    if (data.weight == nullptr || std::find(data.weight, data.weight + data.n, 0.0) == data.weight + data.n)
      return;
    for (int64_t i = 0; i < data.n; ++i) {
      if (data.weight[i] == 0) continue;
      y.push_back(data.y[i]), weight.push_back(data.weight[i]);
      x.insert(x.end(), data.x + i * data.d, data.x + (i + 1) * data.d);
    }
    view = {static_cast<int64_t>(y.size()), data.d, x.data(), y.data(), weight.data()};
  }
  WeightedRows(const WeightedRows&) = delete;  // the view points into the lists
  WeightedRows& operator=(const WeightedRows&) = delete;
};

/// One normal expert is least squares.
bool one_least_squares(const MixtureSpec& spec) {
  const auto* law = spec.family->location_scale();
  return spec.experts == 1 && law != nullptr && law->least_squares();
}

/// Least squares of one expert has no floor but rounding.
FitOptions with_floor(FitOptions options, const MixtureSpec& spec, const Design& design) {
  constexpr double kExact = 1e-13, kRoundings = 8;
  if (!one_least_squares(spec)) return options;
  options.min_scale = std::max(
      kExact, kRoundings * std::numeric_limits<double>::epsilon() * std::abs(design.y_mean) / design.y_scale);
  return options;
}

/// Sums of products lose a residual variance below 1e-8 of that of y to rounding: residuals themselves, and a
/// regression on them, do not.
void refine_least_squares(const EmProblem& problem, EmRun& run) {
  constexpr double kTight = 1e-2;
  constexpr int kRounds = 2;
  const auto& design = problem.design();
  auto& p = run.parameters;
  if (!one_least_squares(problem.spec()) || p.scale[0] > kTight) return;
  const size_t columns = design.input.size() + 1;
  std::vector<double> row(columns + 1, 1.0);
  const auto moments_of_residuals = [&] {
    std::vector<double> moments(static_cast<size_t>(packed_size(static_cast<int64_t>(columns) + 1)), 0.0);
    for (int64_t i = 0; i < design.rows; ++i) {
      row[columns] = design.y[i] - p.intercept[0];
      for (size_t j = 1; j < columns; ++j)
        row[j] = design.input[j - 1][i], row[columns] -= p.slope[j - 1] * row[j];
      size_t at = 0;
      for (size_t a = 0; a <= columns; ++a) {
        for (size_t b = 0; b <= a; ++b) moments[at++] += design.weight[i] * row[a] * row[b];
      }
    }
    return moments;
  };
  for (int round = 0; round < kRounds; ++round) {
    const auto change =
        least_squares(moments_of_residuals().data(), static_cast<int64_t>(columns)).coefficient;
    p.intercept[0] += change[0];
    for (size_t j = 1; j < columns; ++j) p.slope[j - 1] += change[j];
  }
  p.scale[0] = std::sqrt(moments_of_residuals().back() / design.total_weight);
  run.objective = run.log_likelihood =
      problem.objective(p);  // keeps the scale above its floor; one expert has no penalty
  if (!run.trace.empty()) run.trace.back() = run.objective;
}

/// Of the excluded runs the highest, if it is higher than the result.
std::string highest_refused(const EmProblem& problem, const std::vector<EmRun>& runs, const EmRun& result,
                            const DataView& data) {
  constexpr double kHigher = 1e-4;
  const EmRun* highest = nullptr;
  for (const auto& run : runs) {
    if (excluded(problem, run, data) && (highest == nullptr || run.objective > highest->objective))
      highest = &run;
  }
  if (highest == nullptr || highest->objective <= result.objective + kHigher / problem.design().row_unit)
    return "";
  return fmt::format("a higher maximum was refused, of log-likelihood {:.4f}: {}",
                     highest->log_likelihood + problem.design().log_jacobian(),
                     rule_text(problem, *highest, exclusion_of(problem, *highest, data)));
}

FitResult fit_weighted(const DataView& data, const MixtureSpec& spec, uint64_t seed,
                       const FitOptions& options);

}  // namespace

FitResult fit(const DataView& data, const MixtureSpec& spec, uint64_t seed, const FitOptions& options) {
  check_options(options);
  const WeightedRows rows(data, spec);
  std::mutex asking;
  return fit_weighted(rows.view, spec, seed, with_own_stop(options, asking));
}

namespace {

FitResult fit_weighted(const DataView& data, const MixtureSpec& spec, uint64_t seed,
                       const FitOptions& options) {
  const Design design(data, spec, options.column_names);
  const EmProblem problem(design, spec, with_floor(options, spec, design));
  Starts starts{problem, data, seed, std::vector<EmRun>(static_cast<size_t>(options.starts)), {}};
  for_runs(data.n, options.starts, [&](int64_t s) { starts.run(s); });
  std::erase_if(starts.runs, [](const EmRun& run) { return run.parameters.experts == 0; });  // after a stop
  const EmRun* best = nullptr;
  std::vector<double> likelihoods;
  for (const auto& run : starts.runs) {
    const bool dead = excluded(problem, run, data);
    likelihoods.push_back(dead ? kDead : run.log_likelihood + design.log_jacobian());
    if (!dead && (best == nullptr || run.objective > best->objective)) best = &run;
  }
  if (best == nullptr) {  // all died: the least bad one, with its warnings
    best = &*std::max_element(starts.runs.begin(), starts.runs.end(),
                              [](const EmRun& a, const EmRun& b) { return a.objective < b.objective; });
  }
  const bool lines = !spec.family->classes() && spec.experts > 1 && problem.soft() == nullptr;
  EmRun end = lines && options.replacements > 0
                  ? replace_lines(problem, data, Rng(seed).fork("stats/replace"), *best)
                  : *best;
  refine_least_squares(problem, end);
  // Experts have no order of their own: warnings and tables shall name them alike.
  EmRun ordered = end;
  const auto order = canonical_order(to_result(problem, ordered), data);
  ordered.parameters = reorder(spec, ordered.parameters, order);
  for (size_t k = 0; k < order.size(); ++k) ordered.mass[k] = end.mass[static_cast<size_t>(order[k])];
  FitResult result = to_result(problem, ordered);
  add_warnings(problem, ordered, data, result);
  result.exclusion = exclusion_of(problem, end, data);
  result.degenerate = result.exclusion != Exclusion::kNone;
  if (!result.degenerate) result.refused = highest_refused(problem, starts.runs, end, data);
  result.at_best = std::count_if(likelihoods.begin(), likelihoods.end(), [&](double value) {
    return std::abs(value - result.log_likelihood) <= 1e-4 / design.row_unit;
  });
  if (one_least_squares(spec)) result.at_best = options.starts;  // it has one maximum
  result.start_likelihood = std::move(likelihoods);
  return result;
}

}  // namespace

FitResult fit_from(const DataView& all, const MixtureSpec& spec, const MixtureParameters& initial,
                   const FitOptions& options) {
  check_options(options);
  const WeightedRows rows(all, spec);
  const DataView& data = rows.view;
  const Design design(data, spec, options.column_names);
  const EmProblem problem(design, spec, with_floor(options, spec, design));
  GW_CHECK(initial.experts == spec.experts && initial.gate_inputs == spec.gate_inputs(data.d) &&
               initial.inputs == spec.inputs(data.d) && initial.outputs == spec.outputs(),
           "fit: the initial parameters do not fit the model; make them with make_parameters");
  MixtureParameters start = initial;
  pin_last_gate(spec, start);
  const auto tick = [&](int64_t iterations, double log_likelihood) {
    if (options.progress) options.progress({0, 1, iterations, log_likelihood + design.log_jacobian(), false});
    return !options.stop.requested();
  };
  auto run = maximise(problem, data, design.to_standard(start), tick);
  refine_least_squares(problem, run);
  FitResult result = to_result(problem, run);
  add_warnings(problem, run, data, result);
  return result;
}

}  // namespace gw::likelihood
