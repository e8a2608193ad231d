#include "gatewright/train/made_parts.h"

#include <algorithm>

#include "gatewright/base/registry.h"

namespace gw::inline train {
namespace {

bool among(const std::vector<at::Tensor>& tensors, const at::Tensor& tensor) {
  return std::any_of(tensors.begin(), tensors.end(), [&](const at::Tensor& t) { return t.is_same(tensor); });
}

}  // namespace

std::shared_ptr<Objective> make_objective(const TrainConfig& config, const Task& task) {
  return make_chosen<Objective>(config.objective, {task});
}

std::shared_ptr<Order> make_order(const TrainConfig& config) {
  return config.order.empty() ? nullptr : make_chosen<Order>(config.order, {});
}

std::shared_ptr<Optimizer> make_optimizer(const TrainConfig& config, const Model& model,
                                          const std::vector<at::Tensor>& wanted) {
  Optimizer::Context context;
  context.clip = *config.clip;
  const auto router = model.router_parameters();
  for (const auto& item : model.named_parameters()) {
    if (item.value().requires_grad() && among(wanted, item.value()))  // others are held still
      context.parameters.push_back({item.key(), item.value(), among(router, item.value())});
  }
  return make_chosen<Optimizer>(config.optimizer, context);
}

}  // namespace gw::inline train
