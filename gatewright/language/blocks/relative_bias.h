#pragma once
// What attention adds to a score for the distance of its two tokens.
#include <torch/nn/module.h>

#include <vector>

#include "gatewright/base/rng.h"

namespace gw::inline language {

struct RelativeOptions {
  int64_t heads = 1;
  int64_t buckets = 32;    ///< of distances; half of them for either direction where queries look both ways
  int64_t farthest = 128;  ///< from here on all distances share a bucket
  bool both_ways = false;  ///< whether queries see what comes after them
  double deviation = 0;    ///< of the initial values
};

/// A learned value for each head and each bucket of distances, one table for all layers of a stack.
/// Math:   n buckets of a direction: distances below n / 2 have one each; d beyond share bucket
///         n/2 + ⌊n/2 · ln(d / (n/2)) / ln(farthest / (n/2))⌋, at most n − 1. Without `both_ways` n is all of
///         them and keys after the query count as distance 0.
/// Types:  that of the weights; the logarithm is of f32, as published code has it.
/// Source: Raffel et al. 2020, arXiv 1910.10683, section 2.1; the buckets are reconstructed from the released
///         models' code.
class RelativeBias : public torch::nn::Module {
 public:
  /// `drawn` false: memory that a checkpoint will fill.
  /// Errors: ValueError for fewer than 2 buckets of a direction, and for a farthest distance that lies in the
  ///         buckets of one distance.
  RelativeBias(const RelativeOptions& options, const Rng& rng, bool drawn);
  /// The bucket of a key that stands `distance` tokens after the query (before it: negative).
  int64_t bucket(int64_t distance) const;
  /// [heads, queries, keys] of the queries at place `at` and after, and the keys at place `from` and after.
  at::Tensor tile(int64_t at, int64_t queries, int64_t from, int64_t keys) const;

 private:
  RelativeOptions options_;
  std::vector<int64_t> bucket_of_;  ///< distances 0 to `farthest`, of one direction
  at::Tensor weight_;               ///< [buckets, heads]
};

}  // namespace gw::inline language
