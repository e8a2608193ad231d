#include "gatewright/train/objective.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <memory>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/routing/load.h"
#include "gatewright/routing/reach.h"
#include "gatewright/train/start.h"

namespace gw::inline train {

std::vector<at::Tensor> parameter_gradients(const at::Tensor& loss, const std::vector<at::Tensor>& parameters,
                                            const char* what) {
  const double value = loss.item<double>();
  if (!std::isfinite(value)) {
    throw NumericError(fmt::format("train: the {} is {}; lower the learning rate or look at the data", what,
                                   std::isnan(value) ? "not a number" : "infinite"));
  }
  std::vector<at::Tensor> learning;
  for (const auto& parameter : parameters) {
    if (parameter.requires_grad()) learning.push_back(parameter);
  }
  GW_CHECK(loss.requires_grad() && !learning.empty(),
           "train: expected a {} that parameters can learn from, got one that depends on none of those that "
           "do not stand still",
           what);
  const auto found = torch::autograd::grad({loss}, learning, {}, c10::nullopt, false, /*allow_unused=*/true);
  std::vector<at::Tensor> gradients;
  size_t next = 0;
  for (const auto& parameter : parameters)
    gradients.push_back(parameter.requires_grad() ? found[next++] : at::Tensor());
  for (const auto& gradient : gradients) {  // a sum is NaN or infinite if any of its terms is
    if (gradient.defined() && !std::isfinite(gradient.sum().item<double>())) {
      throw NumericError(fmt::format(
          "train: a gradient of the {} is not finite; lower the learning rate or look at the data", what));
    }
  }
  return gradients;
}

at::Tensor StepContext::label_loss(const at::Tensor& logits) const {
  const auto& labels = batch.at("label");
  return teacher != nullptr ? teacher->loss(batch, logits, labels) : at::cross_entropy_loss(logits, labels);
}

void note_reach(const StepContext& context, StepReport& report, const std::string& name,
                const at::Tensor& loss) {
  if (!context.first) return;
  report.reach[name] = router_reach(name, loss, context.model.router_parameters());
}

std::shared_ptr<Balancer> make_balancer(const PartChoice& choice) {
  if (choice.empty()) return nullptr;
  auto balancer = make_chosen<Balancer>(choice, {0});
  GW_CHECK(!balancer->controls(),
           "balancer: expected a balance loss, got {}, which adjusts the policy of a gw::Mixture after each "
           "step; take switch_loss",
           choice.name);
  return balancer;
}

double accuracy(const at::Tensor& logits, const at::Tensor& labels) {
  return logits.detach().argmax(1).eq(labels).to(at::kDouble).mean().item<double>();
}

std::vector<int64_t> first_load(const std::vector<SitedPlan>& plans) {
  return plans.empty() ? std::vector<int64_t>{} : rows_per_expert(plans.front().plan);
}

at::Tensor balance_of(const std::vector<SitedPlan>& plans) {
  at::Tensor sum;
  for (const auto& sited : plans) {
    for (const auto& item : sited.plan.aux) sum = sum.defined() ? sum + item.second : item.second;
  }
  return sum;
}

}  // namespace gw::inline train
