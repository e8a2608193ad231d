#pragma once
// How the next token is chosen from its logits.
#include <ATen/core/Tensor.h>

#include <vector>

#include "gatewright/base/options.h"
#include "gatewright/base/rng.h"

namespace gw::inline language {

struct SamplingOptions : OptionSet {
  double temperature = 0, top_p = 1, min_p = 0, repetition_penalty = 1;
  int64_t top_k = 0, seed = 0;
  void fields(OptionVisitor& v) override;
};

/// One token of logits [vocabulary] after `text`.
/// Math:   logits of tokens in the text are divided (positive) or multiplied (negative) by the repetition
///         penalty, then all divided by the temperature. Kept are the top_k largest, of these the fewest
///         whose probability is at least top_p, of these those of at least min_p times the largest; one is
///         drawn. temperature 0: the largest, the first of equals.
/// Draws:  a function of the seed and the length of the text alone: the same whatever the batch.
/// Errors: NumericError where no logit is finite.
/// Source: Keskar et al. 2019, arXiv 1909.05858 (penalty); Holtzman et al. 2020, arXiv 1904.09751 (top_p);
///         Nguyen et al. 2024, arXiv 2407.01082 (min_p).
int64_t choose_token(const at::Tensor& logits, const std::vector<int32_t>& text,
                     const SamplingOptions& options);

}  // namespace gw::inline language
