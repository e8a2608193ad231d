#include "train/optimizer.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "base/error.h"

namespace gw {

void Optimizer::step(const std::vector<at::Tensor>& gradients, double lr) {
  ensure(gradients.size() == parameters_.size(), "optimizer: {} gradients for {} parameters", gradients.size(), parameters_.size());
  const at::NoGradGuard no_grad;
  ++steps_;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (gradients[i].defined()) update(i, parameters_[i].value, gradients[i], lr, steps_);
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
  state["step"] = at::full({}, steps_, at::kLong);
  return state;
}

void Optimizer::load_state(const std::map<std::string, at::Tensor>& state) {
  const auto count = state.find("step");
  check(count != state.end(), "optimizer: expected the tensor \"step\" in the checkpoint, got none; the file was not written by a training run");
  std::map<std::string, at::Tensor> slots;
  for (const auto& [name, tensor] : state) {
    if (name == "step") continue;
    const auto parameter = name.substr(0, name.rfind('/'));
    const auto it = std::find_if(parameters_.begin(), parameters_.end(), [&](const auto& p) { return p.name == parameter; });
    check(it != parameters_.end(), "optimizer: state \"{}\" belongs to no parameter of this network", name);
    check(it->value.sizes() == tensor.sizes(), "optimizer: state \"{}\" has another shape than its parameter", name);
    auto copy = at::empty_like(it->value);
    copy.copy_(tensor);
    slots[name] = copy;
  }
  slots_ = std::move(slots);
  steps_ = count->second.item<int64_t>();
}

}  // namespace gw
