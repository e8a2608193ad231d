#include "gatewright/train/optimizer.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/check.h"

namespace gw::inline train {
namespace {

constexpr const char* kSteps = "/steps";

using State = std::map<std::string, at::Tensor>;

/// A parameter's count of steps, checked.
State::const_iterator find_steps(const State& state, const std::string& parameter) {
  const auto count = state.find(parameter + kSteps);
  GW_CHECK(count != state.end(),
           "optimizer: expected the tensor \"{}{}\" in the checkpoint, got none; it was written by another "
           "optimizer or network",
           parameter, kSteps);
  GW_CHECK(count->second.scalar_type() == at::kLong && count->second.numel() == 1,
           "optimizer: expected one integer as \"{}\", got {} of {}; the file is damaged", count->first,
           c10::str(count->second.sizes()), c10::toString(count->second.scalar_type()));
  return count;
}

}  // namespace

void Optimizer::step(const std::vector<at::Tensor>& gradients, double lr) {
  GW_ENSURE(gradients.size() == parameters_.size(), "optimizer: {} gradients for {} parameters",
            gradients.size(), parameters_.size());
  const at::NoGradGuard no_grad;
  std::vector<bool> of_router;
  for (const auto& parameter : parameters_) of_router.push_back(parameter.of_router);
  const auto within = clipped(gradients, of_router, clip_);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (within[i].defined()) update(i, parameters_[i].value, within[i], lr, ++steps_[i]);
  }
}

std::vector<at::Tensor> Optimizer::values() const {
  std::vector<at::Tensor> out;
  for (const auto& p : parameters_) out.push_back(p.value);
  return out;
}

at::Tensor& Optimizer::slot(size_t index, const char* name) {
  auto& tensor = slots_[parameters_[index].name + "/" + name];
  if (!tensor.defined()) tensor = at::zeros_like(parameters_[index].value);
  return tensor;
}

bool Optimizer::decays(size_t index, const std::vector<std::string>& excluded) const {
  for (const auto& text : excluded) {
    if (parameters_[index].name.find(text) != std::string::npos) return false;
  }
  return true;
}

std::map<std::string, at::Tensor> Optimizer::state() const {
  auto state = slots_;
  for (size_t i = 0; i < parameters_.size(); ++i)
    state[parameters_[i].name + kSteps] = at::full({}, steps_[i], at::kLong);
  return state;
}

void Optimizer::load_state(const std::map<std::string, at::Tensor>& state) {
  std::map<std::string, at::Tensor> slots;
  std::vector<int64_t> steps;
  size_t used = 0;
  for (const auto& parameter : parameters_) {
    const auto count = find_steps(state, parameter.name);
    steps.push_back(count->second.item<int64_t>());
    ++used;
    const auto prefix = parameter.name + "/";
    for (const auto& name : steps.back() > 0 ? slot_names() : std::vector<std::string>{}) {
      GW_CHECK(state.count(prefix + name) == 1,
               "optimizer: expected the tensor \"{}{}\" in the checkpoint after {} steps, got none; it was "
               "written by "
               "another optimizer or is damaged",
               prefix, name, steps.back());
    }
    for (auto it = state.lower_bound(prefix); it != state.end() && it->first.rfind(prefix, 0) == 0; ++it) {
      if (it == count) continue;
      const bool fits = it->second.sizes() == parameter.value.sizes() &&
                        it->second.scalar_type() == parameter.value.scalar_type();
      GW_CHECK(fits, "optimizer: expected \"{}\" like its parameter, {} of {}, got {} of {}", it->first,
               c10::str(parameter.value.sizes()), c10::toString(parameter.value.scalar_type()),
               c10::str(it->second.sizes()), c10::toString(it->second.scalar_type()));
      auto copy = at::empty_like(parameter.value);
      slots[it->first] = copy.copy_(it->second);
      ++used;
    }
  }
  GW_CHECK(used == state.size(),
           "optimizer: expected {} tensors of state, got {}: some belong to no parameter of this network",
           used, state.size());
  slots_ = std::move(slots);
  steps_ = std::move(steps);
}

}  // namespace gw::inline train
