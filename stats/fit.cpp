#include "stats/fit.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "base/error.h"
#include "stats/chance.h"
#include "stats/inference.h"
#include "stats/starts.h"
#include "stats/trimmed_lines.h"

namespace gw::stats {
namespace {

constexpr double kDead = -std::numeric_limits<double>::infinity();

void check_options(const FitOptions& o) {
  GW_CHECK(o.starts >= 1 && o.starts <= 100000, "stats: expected 1 to 100000 starts, got {}", o.starts);
  GW_CHECK(o.replacements >= 0 && o.replacements <= 100000, "stats: expected 0 to 100000 replacements, got {}", o.replacements);
  GW_CHECK(o.max_iterations >= 1, "stats: expected at least one iteration, got {}", o.max_iterations);
  GW_CHECK(o.tolerance >= 0 && o.tolerance < 1, "stats: expected a tolerance in [0, 1), got {}", o.tolerance);
  GW_CHECK(o.gate_ridge >= 0 && std::isfinite(o.gate_ridge), "stats: expected a ridge of 0 or more, got {}", o.gate_ridge);
  GW_CHECK(o.least_rows >= 0 && std::isfinite(o.least_rows), "stats: expected least_rows of 0 or more, got {}", o.least_rows);
  GW_CHECK(o.min_scale > 0 && o.min_scale < 1, "stats: expected min_scale in (0, 1), got {}", o.min_scale);
}

/// Rows that each expert holds: what weights add up to, in units of a row.
std::vector<double> rows_held(const Design& design, const EmRun& run) {
  std::vector<double> rows = run.mass;
  for (double& value : rows) value *= static_cast<double>(design.rows) / design.total_weight;
  return rows;
}

// Runs that end so lose against all others.
bool died(const EmProblem& problem, const EmRun& run, const DataView& data) {
  const double least = problem.least_mass();
  const bool empty = std::any_of(run.mass.begin(), run.mass.end(), [&](double mass) { return mass < least; });
  const auto& scale = run.parameters.scale;
  const bool collapsed = problem.spec().family != Family::kMultinomial &&
                         std::any_of(scale.begin(), scale.end(), [&](double s) { return s <= problem.options().min_scale; });
  if (empty || collapsed) return true;
  if (problem.options().narrow_experts == NarrowExperts::kKeep) return false;
  const auto& design = problem.design();
  return !chance_experts(problem.spec(), design.to_data(run.parameters), rows_held(design, run), data).empty();
}

void add_warnings(const EmProblem& problem, const EmRun& run, const DataView& data, FitResult& result) {
  if (!run.converged) {
    result.warnings.push_back(
        fmt::format("no convergence after {} iterations: the estimates are not the maximum yet; allow more", run.iterations));
  }
  const double least = problem.least_mass();
  for (size_t k = 0; k < run.mass.size(); ++k) {
    if (run.mass[k] < least)
      result.warnings.push_back(fmt::format("expert {} died: {:.3g} rows are left to it, too few for its coefficients; {}", k + 1,
                                            run.mass[k], run.mass.size() > 1 ? "ask for fewer experts" : "leave columns out"));
    const bool has_scale = problem.spec().family != Family::kMultinomial;
    if (has_scale && run.parameters.scale[k] <= problem.options().min_scale) {
      result.warnings.push_back(fmt::format("expert {} passes through its rows: its scale was stopped at {:g} deviations of the response",
                                            k + 1, problem.options().min_scale));
    }
  }
  for (size_t k = 0; k < run.parameters.freedom.size(); ++k) {
    if (run.parameters.freedom[k] < kNormalFreedom) continue;
    result.warnings.push_back(fmt::format(
        "expert {} has the tails of a normal: the likelihood rises with its degrees of freedom up to their bound of {:g}, where the two "
        "densities are alike; gaussian experts need one parameter less",
        k + 1, kMostFreedom));
  }
  const auto rows = rows_held(problem.design(), run);
  for (const int64_t k : chance_experts(result.spec, result.parameters, rows, data)) {
    result.warnings.push_back(
        fmt::format("expert {} holds {:.3g} rows within a scale of {:.3g}: planes like it are expected by chance; ask for fewer experts",
                    k + 1, rows[static_cast<size_t>(k)], result.parameters.scale[static_cast<size_t>(k)]));
  }
  const auto steep = [](const std::vector<double>& slopes) {  // in standardised units
    return std::any_of(slopes.begin(), slopes.end(), [](double slope) { return std::abs(slope) > 50; });
  };
  if (problem.spec().family == Family::kMultinomial && steep(run.parameters.slope)) {
    result.warnings.push_back(
        "the inputs separate the classes completely: slopes are held by the ridge alone, and their errors mean nothing");
  }
  if (steep(run.parameters.gate_slope))
    result.warnings.push_back(
        "the gate separates the experts completely: its slopes are held by the ridge alone and have no standard errors");
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
  return result;
}

/// Told the iterations so far and the log-likelihood of the standardised data; false ends the run.
using Tick = std::function<bool(int64_t, double)>;

/// Iterations, and climbs where they creep.
EmRun maximise(const EmProblem& problem, const DataView& data, const MixtureParameters& start, const Tick& tick) {
  constexpr int64_t kPatience = 60, kClimb = 20;
  const auto& o = problem.options();
  const bool climbs = o.accelerate && problem.soft() == nullptr;
  EmRun total;
  bool stopped = false;
  total.parameters = start;
  while (true) {
    const int64_t left = o.max_iterations - total.iterations;
    const auto relay = [&](const EmRun& run) {
      stopped = tick && !tick(total.iterations + run.iterations, run.log_likelihood);
      return !stopped;
    };
    EmRun run = problem.run(total.parameters, climbs ? std::min(left, kPatience) : left, o.tolerance, relay);
    run.iterations += total.iterations;
    run.trace.insert(run.trace.begin(), total.trace.begin(), total.trace.end());
    total = std::move(run);
    if (total.converged || stopped || total.iterations >= o.max_iterations || !climbs) return total;
    problem.climb(data, std::min(kClimb, o.max_iterations - total.iterations), total);
  }
}

/// Ends of all starts, filled by threads in any order.
struct Starts {
  const EmProblem& problem;
  const DataView& data;
  uint64_t seed;
  std::vector<EmRun> runs;
  std::mutex mutex;  // progress and stop may be asked by one thread at a time

  void run(int64_t s) {
    const auto& o = problem.options();
    const Rng rng = Rng(seed).fork("stats/start", static_cast<uint64_t>(s));
    const auto tell = [&](int64_t iterations, double log_likelihood, bool ended) {
      const std::lock_guard lock(mutex);
      if (o.progress) o.progress({s, o.starts, iterations, log_likelihood + problem.design().log_jacobian(), ended});
      return !o.stop || !o.stop();
    };
    auto& run = runs[static_cast<size_t>(s)];
    const auto lives = [&](const EmProblem& of, const EmRun& ended) { return !died(of, ended, data); };
    run = maximise(problem, data, start_parameters(problem, o.start, s, rng, lives),
                   [&](int64_t iterations, double value) { return tell(iterations, value, false); });
    tell(run.iterations, run.log_likelihood, true);
  }
};

/// Few rows: one thread per run. Many: all threads within a pass (a parallel loop inside a parallel loop runs on its own thread).
template <class Body>
void for_runs(int64_t rows, int64_t count, Body body) {
  constexpr int64_t kFewRows = 50000;
  if (rows <= kFewRows) return parallel_for(count, body);
  for (int64_t i = 0; i < count; ++i) body(i);
}

/// After the starts: experts give up their lines for random others, one at a time. Iterations do not lead from one to the other, and starts
/// must find all lines at once. What looks best after a few iterations is followed to its end, and on from there as long as that is higher.
EmRun replace_lines(const EmProblem& problem, const DataView& data, const Rng& rng, const EmRun& from) {
  constexpr int64_t kRounds = 3, kShortRun = 20, kFollowed = 2;
  const auto& o = problem.options();
  EmRun best = from;
  bool dead = died(problem, best, data), rose = true;
  for (int64_t round = 0; round < kRounds && rose && !(o.stop && o.stop()); ++round) {
    std::vector<EmRun> tried(static_cast<size_t>(o.replacements));
    const Rng own = rng.fork("round", static_cast<uint64_t>(round));
    for_runs(data.n, o.replacements, [&](int64_t c) {
      auto p = replaced_line(problem, best, c % problem.spec().experts, own.fork("line", static_cast<uint64_t>(c)));
      tried[static_cast<size_t>(c)] = problem.run(p, kShortRun, 0);
    });
    std::erase_if(tried, [&](const EmRun& run) { return died(problem, run, data); });
    std::stable_sort(tried.begin(), tried.end(), [](const EmRun& a, const EmRun& b) { return a.objective > b.objective; });
    rose = false;
    for (size_t i = 0; i < std::min<size_t>(kFollowed, tried.size()); ++i) {
      EmRun end = maximise(problem, data, tried[i].parameters, [&](int64_t, double) { return !o.stop || !o.stop(); });
      const bool higher = dead || end.objective > best.objective + 1e-6 * (1 + std::abs(best.objective));
      if (!higher || died(problem, end, data)) continue;
      best = std::move(end), dead = false, rose = true;
    }
  }
  return best;
}

}  // namespace

FitResult fit(const DataView& data, const MixtureSpec& spec, uint64_t seed, const FitOptions& options) {
  check_options(options);
  const Design design(data, spec, options.column_names);
  const EmProblem problem(design, spec, options);
  Starts starts{problem, data, seed, std::vector<EmRun>(static_cast<size_t>(options.starts)), {}};
  for_runs(data.n, options.starts, [&](int64_t s) { starts.run(s); });
  const EmRun* best = nullptr;
  std::vector<double> likelihoods;
  for (const auto& run : starts.runs) {
    const bool dead = died(problem, run, data);
    likelihoods.push_back(dead ? kDead : run.log_likelihood + design.log_jacobian());
    if (!dead && (best == nullptr || run.objective > best->objective)) best = &run;
  }
  if (best == nullptr) {  // all died: the least bad one, with its warnings
    best = &*std::max_element(starts.runs.begin(), starts.runs.end(),
                              [](const EmRun& a, const EmRun& b) { return a.objective < b.objective; });
  }
  const bool lines = spec.family != Family::kMultinomial && spec.experts > 1 && problem.soft() == nullptr;
  const EmRun end = lines && options.replacements > 0 ? replace_lines(problem, data, Rng(seed).fork("stats/replace"), *best) : *best;
  // Experts have no order of their own: warnings and tables shall name them alike.
  EmRun ordered = end;
  const auto order = canonical_order(to_result(problem, ordered), data);
  ordered.parameters = reorder(spec, ordered.parameters, order);
  for (size_t k = 0; k < order.size(); ++k) ordered.mass[k] = end.mass[static_cast<size_t>(order[k])];
  FitResult result = to_result(problem, ordered);
  add_warnings(problem, ordered, data, result);
  result.degenerate = died(problem, end, data);
  result.start_likelihood = std::move(likelihoods);
  return result;
}

FitResult fit_from(const DataView& data, const MixtureSpec& spec, const MixtureParameters& initial, const FitOptions& options) {
  check_options(options);
  const Design design(data, spec, options.column_names);
  const EmProblem problem(design, spec, options);
  GW_CHECK(initial.experts == spec.experts && initial.gate_inputs == spec.gate_inputs(data.d) && initial.inputs == spec.inputs(data.d) &&
               initial.outputs == spec.outputs(),
           "stats: the initial parameters do not fit the model; make them with make_parameters");
  MixtureParameters start = initial;
  pin_last_gate(spec, start);
  const auto tick = [&](int64_t iterations, double log_likelihood) {
    if (options.progress) options.progress({0, 1, iterations, log_likelihood + design.log_jacobian(), false});
    return !options.stop || !options.stop();
  };
  const auto run = maximise(problem, data, design.to_standard(start), tick);
  FitResult result = to_result(problem, run);
  add_warnings(problem, run, data, result);
  return result;
}

}  // namespace gw::stats
