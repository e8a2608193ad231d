#pragma once
#include <utility>

#include "gatewright/models/model.h"

namespace gw::inline train {

/// Log odds [B] of a class by logits [B, C]: log p / (1 − p). Errors: ValueError for a class that is not
/// among them.
at::Tensor log_odds(const at::Tensor& logits, int64_t of);

/// The model's answer and the slope [B, D] of the log odds of class `of` by the inputs "x" of its row.
/// `learns`: gradients flow through both. Rows must not see each other in the model (batch statistics).
/// Errors: ValueError for a batch without floating "x".
std::pair<Output, at::Tensor> answer_with_slope(Model& model, const Batch& batch, const Pass& pass,
                                                int64_t of, bool learns);

}  // namespace gw::inline train
