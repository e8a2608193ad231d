#pragma once
// Softmax-gated Gaussian mixtures with an l1 penalty on the slopes of gates and experts, for more columns
// than rows.
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "gatewright/base/stop.h"
#include "gatewright/likelihood/mixture.h"

namespace gw::likelihood {

struct LassoOptions {
  int64_t max_iterations = 1000;  ///< of EM, for one penalty
  double tolerance = 1e-7;        ///< ends when the penalised mean log-likelihood gains less than this
  double gate_share = 1;          ///< the gates' penalty is this times lambda
  bool scaled =
      true;  ///< penalise an expert's slopes in units of its standard deviation: lambda |slope| / sigma
  double min_scale = 0.02;  ///< smallest standard deviation of an expert, in standard deviations of y: with p
                            ///< > n one can interpolate
  int64_t sweeps = 3;       ///< of coordinate descent in an M-step
  int64_t starts = 4;  ///< paths: one from the largest penalty down, the others from random partitions in the
                       ///< middle, up and down
  std::optional<std::vector<int64_t>> columns;  ///< only these columns may have slopes; absent: all
  Tick progress;                                ///< fits done of a path
  Stop stop;                                    ///< requested: Interrupted is thrown between iterations
};

struct LassoFit {
  double lambda = 0;
  MixtureParameters parameters;  ///< in the units of the data; the last gate is zero
  double log_likelihood = 0;     ///< sum over the rows, without the penalty
  double objective = 0;          ///< −log-likelihood / n + penalty, what is minimised
  double penalty =
      0;  ///< lambda · (|gate slopes|_1 · gate_share + |expert slopes|_1) of standardised columns
  int64_t gate_slopes = 0, expert_slopes = 0;  ///< not zero
  int64_t iterations = 0;
  bool converged = false;
  std::vector<double> trace;  ///< objective after every iteration since the last column entered; never rises
  double kkt_gap = 0;  ///< largest excess of a zero slope's gradient over the penalty: at most 1e-3 of it
};

/// One penalty, from given parameters in the units of the data.
/// Math:   minimises −(1/n) sum_i log p(y_i | x_i) + lambda (|gate slopes|_1 + |expert slopes / sigma|_1)
///         over columns of mean 0 and variance 1; intercepts, biases and scales are free. Generalised EM:
///         experts by coordinate descent with soft thresholds S(sum_i tau_i r_i x_ij, n lambda sigma) / sum_i
///         tau_i x_ij², gates one after another through the quadratic bound of curvature 1/4, scales in
///         closed form. Every step lowers the objective. Columns outside the working set (strong rule) are
///         examined at the end, and enter where their gradient exceeds the penalty.
/// Errors: ValueError unless the model is a softmax-gated Gaussian mixture over all columns, rows have no
///         weights, and lambda >= 0.
/// Cost:   iterations · sweeps · (2 experts − 1) · |working set| · n flop, and (2 experts − 1) · p · n for
///         each look at all columns.
/// Source: Nguyen, Nguyen, Chamroukhi, McLachlan 2020, arXiv 2009.10622 (estimator: `scaled` off, with scales
///         bounded below by a constant; with p > n and scales near zero its minimum interpolates the data);
///         slopes per sigma: Städler, Bühlmann, van de Geer 2010, arXiv 1202.6046; strong rules: Tibshirani
///         et al. 2012, arXiv 1011.2234.
LassoFit fit_lasso(const DataView& data, const MixtureSpec& spec, double lambda,
                   const MixtureParameters& start, const LassoOptions& options = {});

/// Fits for penalties in falling order, each from its neighbour; for each penalty the least objective over
/// the starts. `given`: further starts, in the units of the data. A pure function of its arguments.
/// Errors: those of fit_lasso; ValueError unless the penalties fall strictly and are positive; Interrupted.
std::vector<LassoFit> lasso_path(const DataView& data, const MixtureSpec& spec,
                                 const std::vector<double>& lambdas, uint64_t seed,
                                 const LassoOptions& options = {},
                                 const std::vector<MixtureParameters>& given = {});

/// The penalty above which the path from the top has no slopes: the largest gradient at the mixture of
/// intercepts.
double largest_penalty(const DataView& data, const MixtureSpec& spec, const LassoOptions& options = {});
/// `count` penalties from `largest` down to largest · ratio, evenly on the log scale. Errors: ValueError
/// unless 0 < ratio < 1, count >= 2.
std::vector<double> penalty_grid(double largest, double ratio, int64_t count);

}  // namespace gw::likelihood
