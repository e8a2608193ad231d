#pragma once
#include "gatewright/train/config.h"
#include "gatewright/train/objective.h"
#include "gatewright/train/order.h"

namespace gw::inline train {

/// The objective and the optimizer that a configuration names; trainings and learners of streams make theirs
/// here. Errors: ValueError for unknown parts, keys and values.
std::shared_ptr<Objective> make_objective(const TrainConfig& config, const Task& task);
/// The order of a configuration's epochs. Errors: as above.
std::shared_ptr<Order> make_order(const TrainConfig& config);
/// Of those parameters of the model that are among `wanted`.
std::shared_ptr<Optimizer> make_optimizer(const TrainConfig& config, const Model& model,
                                          const std::vector<at::Tensor>& wanted);

}  // namespace gw::inline train
