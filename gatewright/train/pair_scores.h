#pragma once
// How well vectors tell pairs that belong together from others.
#include <ATen/core/Tensor.h>

namespace gw::inline train {

/// 2·true / (2·true + false positives + false negatives) of "together where the similarity is at least
/// `threshold`". Similarities of pairs that belong together and of others, [n] and [m] of any real type.
/// 0 where nothing is found.
double f1_at(double threshold, const at::Tensor& together, const at::Tensor& apart);

/// The threshold of the largest F1, in the middle between two similarities; among equals the highest.
/// Errors: ValueError without pairs that belong together, and for similarities that are not finite.
/// Cost:   a sort.
double best_threshold(const at::Tensor& together, const at::Tensor& apart);

struct PairScores {
  double f1 = 0;                   ///< at a threshold that other pairs set
  double together = 0, apart = 0;  ///< mean cosines
  double found = 0;  ///< share of texts that are nearer to their own partner than to any other's
};

/// Vectors [n, 2, D] of the n pairs of one domain, in their order. The first, third … set the threshold, the
/// second, fourth … are measured. What does not belong together: a text and the partner of the one that
/// stands half of all pairs after it, so that there are as many of both kinds; F1 of "always together" is
/// 2/3.
/// Errors: ValueError for fewer than 4 pairs.
PairScores pair_scores(const at::Tensor& vectors);

}  // namespace gw::inline train
