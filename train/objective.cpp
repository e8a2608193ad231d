#include "train/objective.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

namespace gw {

std::vector<at::Tensor> parameter_gradients(const at::Tensor& loss, const std::vector<at::Tensor>& parameters, const char* what) {
  const double value = loss.item<double>();
  if (!std::isfinite(value)) {
    throw NumericError(fmt::format("train: the {} is {}; lower the learning rate or look at the data", what, std::isnan(value) ? "not a number" : "infinite"));
  }
  auto gradients = torch::autograd::grad({loss}, parameters, {}, c10::nullopt, false, /*allow_unused=*/true);
  for (const auto& gradient : gradients) {  // a sum is NaN or infinite if any of its terms is
    if (gradient.defined() && !std::isfinite(gradient.sum().item<double>())) {
      throw NumericError(fmt::format("train: a gradient of the {} is not finite; lower the learning rate or look at the data", what));
    }
  }
  return gradients;
}

double accuracy(const at::Tensor& logits, const at::Tensor& labels) {
  return logits.detach().argmax(1).eq(labels).to(at::kDouble).mean().item<double>();
}

std::vector<double> first_load(const NetworkOutput& output) {
  std::vector<double> load;
  if (output.plans.empty()) return load;
  const auto& plan = output.plans.front();
  for (int64_t e = 0; e < plan.experts(); ++e) load.push_back(static_cast<double>(plan.rows_of(e)));
  return load;
}

}  // namespace gw
