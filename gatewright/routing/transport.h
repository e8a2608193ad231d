#pragma once
// Balanced plans over a whole batch: entropic transport, exact assignment, and transport with few tokens per
// expert.
// All in f64 on the host, in one thread: the same bits whatever the number of threads.
#include <ATen/core/Tensor.h>

namespace gw::inline routing {

struct TransportResult {
  at::Tensor plan;  ///< [T, E] f64
  int64_t iterations = 0;
  double residual = 0;  ///< largest relative error of a marginal that the solver does not hold exactly
  double gamma = 0;     ///< of the sparse transport, as it was in the end
};

/// Sinkhorn's plan: the matrix diag(u) exp(s / temperature) diag(v) with rows summing to 1 and columns to
/// T/E.
/// Works on logarithms, so no score is too large. Rows are exact; `residual` is that of the columns.
/// Cost: 2·T·E exponentials per iteration.
TransportResult sinkhorn(const at::Tensor& scores, double temperature, int64_t iterations, double tolerance);

/// The assignment of tokens to experts of largest total score with at most ceil(T/E) tokens each, by auction.
/// Masked scores lose against all others.
/// Shapes: scores [T, E] → [T] int64. Within T·ε of the optimum, ε = `precision` · range of the scores.
/// Cost:   up to T·E / precision bids of O(E) where many tokens are alike; ValueError after ten times that, a
///         defect.
/// Source: Bertsekas 1992, auction algorithms for network flow problems; similar objects share one heap of
///         bids.
at::Tensor balanced_assignment(const at::Tensor& scores, double precision);

/// Tokens per expert that sparse_transport needs at least: a plan with equal shares has T + E − gcd(T, E)
/// positive entries or more (fewer leave a block of tokens and experts whose masses do not match), so that
/// k·E must not be below that.
int64_t least_room(int64_t tokens, int64_t experts);

/// Transport with a squared penalty in which an expert (column) receives at most k tokens.
/// Math:   max_α αᵀa − Σ_j b_j μ_j(α + s_j), a = 1/T, b = 1/E, μ_j(z) = max over y in the simplex with k
///         non-zeros of yᵀz − (γ b_j / 2)‖y‖²; plan column j = b_j y_j, given back times T. L-BFGS from α =
///         0. k·E = T leaves nothing but the best assignment, whatever γ: it comes from balanced_assignment.
/// Columns are exact and sparse; `residual` is that of the rows. Where γ would spread a column over more than
/// k tokens, the best α lies on a kink: no plan of its own fits the rows, and the solver stalls there. A
/// smaller γ then has a plan; with `lower_gamma` the solver divides γ by 4 until one fits.
/// Errors: ValueError for k < least_room(T, E).
/// Source: Liu, Puigcerver and Blondel 2022, arXiv 2209.15466, semi-dual.
TransportResult sparse_transport(const at::Tensor& scores, int64_t k, double gamma, int64_t iterations,
                                 double tolerance, bool lower_gamma = false);

/// What sparse_transport climbs, times T, at any α [T], and its slope there: for tests, and for who brings a
/// solver of its own. The slope is the mass that each token still lacks; at a kink, where the k-th and the
/// next score of a column are equal, it is one of several. Errors: ValueError for another number of values in
/// α, k outside 1 … T, γ ≤ 0.
struct SemiDualPoint {
  double value = 0;
  at::Tensor gradient;  ///< [T] f64
};
SemiDualPoint sparse_transport_semi_dual(const at::Tensor& scores, const at::Tensor& alpha, int64_t k,
                                         double gamma);

}  // namespace gw::inline routing
