#pragma once
#include "gatewright/train/task.h"

namespace gw::inline train {

/// The model's answers [n, …] to a set, in its order, as each_answer gives them. Cost: all of them in memory.
at::Tensor answers_to(const EvaluationPass& pass);
/// The same of a trained model, which is not told how many steps that took.
at::Tensor answers_to(Model& model, const TensorSet& set, const Tick& tick = {});
/// The share of answers [n, classes] whose largest is the label [n]. Errors: ValueError for other shapes.
double share_right(const at::Tensor& answers, const at::Tensor& label);

}  // namespace gw::inline train
