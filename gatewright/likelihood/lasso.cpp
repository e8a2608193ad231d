#include "gatewright/likelihood/lasso.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "gatewright/base/check.h"
#include "gatewright/base/rng.h"
#include "gatewright/likelihood/lasso_state.h"

namespace gw::likelihood {
namespace {

constexpr double kSlack = 1e-3;    // a zero slope's gradient may exceed the penalty by this share
constexpr int64_t kScreened = 10;  // columns in which rows are near each other, for random partitions
constexpr int kSettling = 5;       // M-steps with a random partition held
constexpr const char* kInterrupted = "lasso: interrupted; the path is not kept";
constexpr int64_t kHorizontal = 5000;  // EM iterations of the mixture of intercepts

void check_inputs(const DataView& data, const MixtureSpec& spec, const LassoOptions& options) {
  check_spec(spec, data.d);
  check_data(data, spec);
  GW_CHECK(spec.family == Family("gaussian") && spec.gate.kind == GateKind("softmax"),
           "lasso: expected gaussian experts and a softmax gate, got {} and {}", name_of(spec.family),
           name_of(spec.gate.kind));
  GW_CHECK(!spec.columns && !spec.gate.columns,
           "lasso: expected a model over all columns, got a choice; use LassoOptions::columns");
  GW_CHECK(data.weight == nullptr, "lasso: expected rows without weights, got weights");
  GW_CHECK(data.n >= 2 * spec.experts,
           "lasso: expected at least 2 rows an expert, got {} rows for {} experts", data.n, spec.experts);
  GW_CHECK(options.gate_share > 0 && options.min_scale > 0,
           "lasso: expected a positive gate_share and min_scale, got {} and {}", options.gate_share,
           options.min_scale);
}

/// EM until it stands still and no column outside wants in.
LassoFit solve(LassoState& state, double lambda, const LassoOptions& options) {
  std::vector<double> trace;
  int64_t iterations = 0;
  bool converged = false;
  double gap = 0;
  double objective = state.expect(lambda);
  trace.push_back(objective);
  while (iterations < options.max_iterations) {
    if (options.stop.requested()) throw Interrupted(kInterrupted);
    ++iterations;
    state.maximise(lambda);
    const double next = state.expect(lambda);
    trace.push_back(next);
    const double gain = objective - next;
    objective = next;
    if (gain > options.tolerance) continue;
    if (state.admit_violators(lambda, kSlack, gap) == 0) {
      converged = true;
      break;
    }
    trace.assign(1, objective);
  }
  if (!converged) state.admit_violators(lambda, kSlack, gap);
  LassoFit fit = state.result(lambda);
  fit.trace = std::move(trace);
  fit.iterations = iterations, fit.converged = converged, fit.kkt_gap = gap;
  return fit;
}

MixtureParameters flat_start(const LassoColumns& columns, int64_t experts) {
  MixtureParameters p;
  const auto k = static_cast<size_t>(experts), slopes = static_cast<size_t>(experts * columns.p);
  p.experts = experts, p.gate_inputs = p.inputs = columns.p, p.outputs = 1;
  p.gate_bias.assign(k, 0), p.gate_slope.assign(slopes, 0), p.slope.assign(slopes, 0);
  p.intercept.assign(k, columns.y_mean), p.scale.assign(k, columns.y_deviation);
  return p;
}

/// The mixture without slopes, from a partition of the responses into quantiles: where the path from the top
/// begins.
LassoState horizontal(const LassoColumns& columns, int64_t experts, const LassoOptions& options) {
  LassoState state(columns, flat_start(columns, experts), options);
  const auto n = static_cast<size_t>(columns.n);
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return columns.y[a] < columns.y[b]; });
  std::vector<std::vector<double>> tau(static_cast<size_t>(experts), std::vector<double>(n, 0));
  for (size_t rank = 0; rank < n; ++rank) tau[rank * tau.size() / n][order[rank]] = 1;
  state.assume(std::move(tau));
  double objective = std::numeric_limits<double>::infinity();
  for (int64_t i = 0; i < kHorizontal; ++i) {
    state.maximise(0);  // no column is in a working set, so the penalty does not matter
    const double next = state.expect(0);
    if (objective - next < 1e-3 * options.tolerance) break;
    objective = next;
  }
  return state;
}

/// The columns that go most with y, alone.
std::vector<int64_t> screened_columns(const LassoColumns& columns) {
  std::vector<std::pair<double, int64_t>> by_pull;
  for (int64_t j = 0; j < columns.p; ++j) {
    double sum = 0;
    for (int64_t i = 0; i < columns.n; ++i)
      sum += columns.column(j)[i] * (columns.y[static_cast<size_t>(i)] - columns.y_mean);
    if (columns.allowed[static_cast<size_t>(j)]) by_pull.emplace_back(-std::abs(sum), j);
  }
  std::sort(by_pull.begin(), by_pull.end());
  std::vector<int64_t> chosen;
  for (size_t i = 0; i < by_pull.size() && static_cast<int64_t>(i) < kScreened; ++i)
    chosen.push_back(by_pull[i].second);
  return chosen;
}

/// A state after a few M-steps on cells around random rows, near in y and in the screened columns.
LassoState partitioned(const LassoColumns& columns, int64_t experts, double lambda, const Rng& rng,
                       const LassoOptions& options) {
  LassoState state(columns, flat_start(columns, experts), options);
  const auto near = screened_columns(columns);
  const auto centres = rng.permutation(columns.n);
  const double inside = 0.9, outside = experts > 1 ? 0.1 / static_cast<double>(experts - 1) : 0;
  std::vector<std::vector<double>> tau(static_cast<size_t>(experts),
                                       std::vector<double>(static_cast<size_t>(columns.n), outside));
  for (int64_t i = 0; i < columns.n; ++i) {
    size_t best = 0;
    double least = std::numeric_limits<double>::infinity();
    for (size_t k = 0; k < tau.size(); ++k) {
      const int64_t c = centres[k];
      double distance =
          (columns.y[static_cast<size_t>(i)] - columns.y[static_cast<size_t>(c)]) / columns.y_deviation;
      distance *=
          distance * static_cast<double>(near.size());  // the response weighs as much as the columns together
      for (const int64_t j : near) distance += std::pow(columns.column(j)[i] - columns.column(j)[c], 2);
      if (distance < least) least = distance, best = k;
    }
    tau[best][static_cast<size_t>(i)] = experts > 1 ? inside : 1;
  }
  state.assume(std::move(tau));
  for (int i = 0; i < kSettling; ++i) {
    state.screen(lambda, 1.5 * lambda);
    state.maximise(lambda);
  }
  return state;
}

/// Fits along a path and the best so far at each penalty.
struct Path {
  const std::vector<double>& lambdas;
  const LassoOptions& options;
  std::vector<LassoFit> best;
  int64_t done = 0, total = 0;

  void visit(LassoState& state, size_t i, double previous) {
    state.expect(previous);
    state.screen(lambdas[i], previous);
    auto fit = solve(state, lambdas[i], options);
    if (best[i].trace.empty() || fit.objective < best[i].objective) best[i] = std::move(fit);
    if (options.progress) options.progress(++done, total);
  }

  void down(LassoState& state, size_t from, double previous) {
    for (size_t i = from; i < lambdas.size(); ++i) visit(state, i, i == from ? previous : lambdas[i - 1]);
  }

  // From the middle: the fit there is made once, then the path goes both ways from it.
  void both_ways(LassoState state) {
    const size_t middle = lambdas.size() / 2;
    visit(state, middle, 1.5 * lambdas[middle]);
    auto upwards = state;
    down(state, middle + 1, lambdas[middle]);
    for (size_t i = middle; i-- > 0;) visit(upwards, i, lambdas[i]);
  }
};

}  // namespace

LassoFit fit_lasso(const DataView& data, const MixtureSpec& spec, double lambda,
                   const MixtureParameters& start, const LassoOptions& options) {
  check_inputs(data, spec, options);
  GW_CHECK(lambda >= 0 && std::isfinite(lambda), "lasso: expected lambda >= 0, got {}", lambda);
  GW_CHECK(start.experts == spec.experts && start.inputs == data.d && start.gate_inputs == data.d,
           "lasso: expected a start with {} experts and {} columns, got {} and {}", spec.experts, data.d,
           start.experts, start.inputs);
  const LassoColumns columns(data, options);
  LassoState state(columns, start, options);
  state.expect(lambda);
  state.screen(lambda, 1.5 * lambda);
  return solve(state, lambda, options);
}

std::vector<LassoFit> lasso_path(const DataView& data, const MixtureSpec& spec,
                                 const std::vector<double>& lambdas, uint64_t seed,
                                 const LassoOptions& options, const std::vector<MixtureParameters>& given) {
  check_inputs(data, spec, options);
  GW_CHECK(!lambdas.empty() && lambdas.back() > 0, "lasso: expected positive penalties, got {}",
           lambdas.empty() ? "none" : "one that is not");
  GW_CHECK(std::adjacent_find(lambdas.begin(), lambdas.end(), std::less_equal<>()) == lambdas.end(),
           "lasso: expected penalties that fall, got one that does not");
  const LassoColumns columns(data, options);
  const auto count = static_cast<int64_t>(lambdas.size());
  Path path{lambdas, options, std::vector<LassoFit>(lambdas.size()), 0,
            count * (options.starts + static_cast<int64_t>(given.size()))};
  if (options.starts > 0) {
    auto top = horizontal(columns, spec.experts, options);
    path.down(top, 0, std::max(top.largest_gradient(), lambdas[0]));
  }
  const Rng rng = Rng(seed).fork("stats/lasso");
  for (int64_t s = 1; s < options.starts; ++s)
    path.both_ways(partitioned(columns, spec.experts, lambdas[lambdas.size() / 2],
                               rng.fork("partition", static_cast<uint64_t>(s)), options));
  for (const auto& start : given) path.both_ways(LassoState(columns, start, options));
  GW_CHECK(!path.best[0].trace.empty(), "lasso: expected at least one start, got none");
  return std::move(path.best);
}

double largest_penalty(const DataView& data, const MixtureSpec& spec, const LassoOptions& options) {
  check_inputs(data, spec, options);
  const LassoColumns columns(data, options);
  return horizontal(columns, spec.experts, options).largest_gradient();
}

std::vector<double> penalty_grid(double largest, double ratio, int64_t count) {
  GW_CHECK(largest > 0 && ratio > 0 && ratio < 1 && count >= 2,
           "lasso: expected a positive penalty, a ratio in (0, 1) and at least 2 values, got {}, {}, {}",
           largest, ratio, count);
  std::vector<double> grid;
  for (int64_t i = 0; i < count; ++i)
    grid.push_back(largest * std::pow(ratio, static_cast<double>(i) / static_cast<double>(count - 1)));
  return grid;
}

}  // namespace gw::likelihood
