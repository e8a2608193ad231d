#include "gatewright/train/weight_average.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>

#include "gatewright/base/check.h"

namespace gw::inline train {

WeightAverage::WeightAverage(const torch::nn::Module& model, double decay) : decay_(decay) {
  const auto add = [&](const std::string& name, const at::Tensor& value) {
    if (value.is_floating_point()) entries_.push_back({name, value, value.detach().clone()});
  };
  for (const auto& item : model.named_parameters()) add(item.key(), item.value());
  for (const auto& item : model.named_buffers()) add(item.key(), item.value());
}

void WeightAverage::update(int64_t steps_done) {
  const at::NoGradGuard no_grad;
  const auto t = static_cast<double>(steps_done);
  const double kept = std::min(decay_, (1 + t) / (10 + t));
  for (auto& entry : entries_) entry.average.lerp_(entry.value, 1 - kept);
}

std::map<std::string, at::Tensor> WeightAverage::state() const {
  std::map<std::string, at::Tensor> out;
  for (const auto& entry : entries_) out[entry.name] = entry.average;
  return out;
}

void WeightAverage::load_state(const std::map<std::string, at::Tensor>& state) {
  for (const auto& entry : entries_) {
    const auto it = state.find(entry.name);
    GW_CHECK(it != state.end(),
             "train: expected the average of \"{}\" in the checkpoint, got none; it was written without "
             "averaging",
             entry.name);
    GW_CHECK(it->second.sizes() == entry.average.sizes() &&
                 it->second.scalar_type() == entry.average.scalar_type(),
             "train: expected the average of \"{}\" as {} of {}, got {} of {}", entry.name,
             c10::str(entry.average.sizes()), c10::toString(entry.average.scalar_type()),
             c10::str(it->second.sizes()), c10::toString(it->second.scalar_type()));
  }
  GW_CHECK(state.size() == entries_.size(),
           "train: expected {} averages in the checkpoint, got {}: some belong to nothing in this model",
           entries_.size(), state.size());
  for (auto& entry : entries_) entry.average.copy_(state.at(entry.name));
}

WeightAverage::Scope::Scope(const WeightAverage* average) : average_(average) {
  if (average_ == nullptr) return;
  const at::NoGradGuard no_grad;
  for (const auto& entry : average_->entries_) {
    own_.push_back(entry.value.detach().clone());
    at::Tensor(entry.value).copy_(entry.average);
  }
}

WeightAverage::Scope::~Scope() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < own_.size(); ++i) at::Tensor(average_->entries_[i].value).copy_(own_[i]);
}

}  // namespace gw::inline train
