#pragma once
// Maximum likelihood by expectation and maximisation. Every accepted iteration raises the penalised
// likelihood.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "gatewright/base/stop.h"
#include "gatewright/likelihood/mixture.h"

namespace gw::likelihood {

enum class StartKind { kMixed, kSmallEm, kKMeans, kRandom };
enum class GateSolver { kNewton, kMm };
/// What becomes of an expert that is narrow by chance (gatewright/likelihood/chance.h): it is refused, or
/// kept as plain maximum likelihood keeps it.
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
  int64_t replacements = 12;  ///< after the starts, in each of up to three rounds: random lines tried in
                              ///< place of an expert's own; 0: none
  int64_t max_iterations = 2000;
  double tolerance = 1e-10;  ///< ends when the log-likelihood gains less than this share of itself
  GateSolver gate_solver = GateSolver::kNewton;
  bool all_iterations = false;  ///< max_iterations of them, neither shortened nor ended by convergence: for
                                ///< timing (use accelerate = false)
  bool accelerate = true;       ///< extrapolates every other iteration (not for top-k gates, which jump)
  double gate_ridge = 1e-6;  ///< on squared gate slopes of standardised columns: keeps separated gates finite
  /// Likewise on squared slopes of class responses: λ is a normal prior of variance 1/λ. With separated
  /// classes a λ of 0.1 to 1 is the penalised fit (le Cessie and van Houwelingen 1992); its slopes are
  /// shrunk, and errors leave the penalty out.
  double class_ridge = 1e-6;
  /// Smallest scale of an expert, in standard deviations of y: several experts have no maximum without. Sums
  /// of products in double precision tell variances down to 1e-16 of that of y, so that a variance of 1e-12
  /// has four digits. One normal expert has a maximum without a floor, unless it passes through its rows up
  /// to rounding.
  double min_scale = 1e-6;
  NarrowExperts narrow_experts = NarrowExperts::kRefuse;
  double least_rows = 0;  ///< an expert that holds fewer has died; 0: twice as many as it has parameters
  std::vector<std::string> column_names;  ///< of x, for messages; empty: "column 3"
  std::function<void(const FitProgress&)>
      progress;  ///< and `stop`: called by one thread at a time, not always the same
  Stop stop;     ///< asked between iterations; requested: the fit ends with what it has, and starts that have
                 ///< not begun are left out
};

/// Why a run loses against all others, the first that applies.
enum class Exclusion {
  kNone,
  kFewRows,  ///< an expert holds fewer rows than `least_rows`
  kFloor,    ///< the scale of an expert is held at `min_scale`: it passes through its rows
  kByChance  ///< an expert is narrow by chance
};
/// "an expert holds too few rows", for tables; "" for kNone.
const char* name_of(Exclusion exclusion);

struct FitResult {
  MixtureSpec spec;
  MixtureParameters parameters;
  double log_likelihood = 0;
  int64_t iterations = 0;
  bool converged = false;
  std::vector<double> trace;  ///< penalised log-likelihood after each iteration of the winning start
  std::vector<double> start_likelihood;  ///< final log-likelihood of every start, in order; -infinity for one
                                         ///< that is excluded
  std::vector<std::string> warnings;
  bool degenerate = false;                 ///< every start ended excluded
  Exclusion exclusion = Exclusion::kNone;  ///< of the result, where it is degenerate
  int64_t at_best = 0;                     ///< starts that ended within 1e-4 of the result's log-likelihood
  std::string refused;  ///< a higher maximum that a rule left out: its likelihood, the rule, its option; ""
                        ///< if there is none
  int64_t n = 0, d = 0;
  double weight = 0;  ///< sum of the weights: n without weights
};

/// The best of several starts. A pure function of its arguments: neither threads nor their number change a
/// bit.
/// Rows of weight 0 change nothing. Errors: ValueError for data or a model that cannot be fitted (collinear
/// columns, a constant response, more experts than rows).
FitResult fit(const DataView& data, const MixtureSpec& spec, uint64_t seed, const FitOptions& options = {});

/// One run from given parameters (in the units of the data); keeps the order of the experts.
FitResult fit_from(const DataView& data, const MixtureSpec& spec, const MixtureParameters& initial,
                   const FitOptions& options = {});

}  // namespace gw::likelihood
