#pragma once
// Maximum likelihood by expectation and maximisation. Every accepted iteration raises the penalised likelihood.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "stats/mixture.h"

namespace gw::stats {

enum class StartKind { kMixed, kSmallEm, kKMeans, kRandom };
enum class GateSolver { kNewton, kMm };
/// What becomes of an expert that is narrow by chance (stats/chance.h): it is refused, or kept as plain maximum likelihood keeps it.
enum class NarrowExperts { kRefuse, kKeep };

/// What a fit reports after an iteration, and once more when a start has ended.
struct FitProgress {
  int64_t start = 0, starts = 0, iteration = 0;
  double log_likelihood = 0;
  bool ended = false;
};

struct FitOptions {
  int64_t starts = 10;
  StartKind start = StartKind::kMixed;
  int64_t replacements = 12;    ///< after the starts, in each of up to three rounds: random lines tried in place of an expert's own; 0: none
  int64_t max_iterations = 2000;
  double tolerance = 1e-10;     ///< ends when the log-likelihood gains less than this share of itself
  GateSolver gate_solver = GateSolver::kNewton;
  bool all_iterations = false;  ///< max_iterations of them, neither shortened nor ended by convergence: for timing (use accelerate = false)
  bool accelerate = true;       ///< extrapolates every other iteration (not for top-k gates, which jump)
  double gate_ridge = 1e-6;     ///< on squared gate slopes of standardised columns: keeps separated gates finite
  double min_scale = 1e-4;      ///< smallest scale of an expert, in standard deviations of y: the likelihood has no maximum without
  NarrowExperts narrow_experts = NarrowExperts::kRefuse;
  double least_rows = 0;        ///< an expert that holds fewer has died; 0: twice as many as it has parameters
  std::vector<std::string> column_names;  ///< of x, for messages; empty: "column 3"
  std::function<void(const FitProgress&)> progress;  ///< and `stop`: called by one thread at a time, not always the same
  std::function<bool()> stop;   ///< asked between iterations; true ends the fit with what it has
};

struct FitResult {
  MixtureSpec spec;
  MixtureParameters parameters;
  double log_likelihood = 0;
  int64_t iterations = 0;
  bool converged = false;
  std::vector<double> trace;            ///< penalised log-likelihood after each iteration of the winning start
  std::vector<double> start_likelihood; ///< final log-likelihood of every start, in order; -infinity for one that died
  std::vector<std::string> warnings;
  bool degenerate = false;              ///< every start ended with an expert that died, collapsed, or is there by chance
  int64_t n = 0, d = 0;
  double weight = 0;                    ///< sum of the weights: n without weights
};

/// The best of several starts. A pure function of its arguments: neither threads nor their number change a bit.
/// Errors: ValueError for data or a model that cannot be fitted (collinear columns, a constant response, more experts than rows).
FitResult fit(const DataView& data, const MixtureSpec& spec, uint64_t seed, const FitOptions& options = {});

/// One run from given parameters (in the units of the data); keeps the order of the experts.
FitResult fit_from(const DataView& data, const MixtureSpec& spec, const MixtureParameters& initial, const FitOptions& options = {});

}  // namespace gw::stats
