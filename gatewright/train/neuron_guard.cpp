#include "gatewright/train/neuron_guard.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/check.h"

namespace gw::inline train {

NeuronGuard::NeuronGuard(std::vector<WatchedNeurons::Layer> layers, double rate, double epsilon)
    : layers_(std::move(layers)), rate_(rate), epsilon_(epsilon) {
  for (const auto& layer : layers_) noted_.push_back(at::ones({layer.weight.size(0)}));
  commit();
}

void NeuronGuard::note(const std::vector<at::Tensor>& hidden, const std::vector<at::Tensor>& gradients) {
  GW_CHECK(hidden.size() == layers_.size() && gradients.size() == layers_.size(),
           "neuron_guard: expected values and gradients of {} layers, got {} and {}", layers_.size(),
           hidden.size(), gradients.size());
  const at::NoGradGuard no_grad;
  for (size_t l = 0; l < layers_.size(); ++l) {
    // The gradients are those of a mean, B times smaller than each row's own: the normalisation takes it out.
    auto relevance = (gradients[l] * hidden[l].detach()).square().mean(0);
    relevance = relevance / relevance.mean().clamp_min(1e-30);
    auto& a = noted_[l];
    a = (a - rate_ * a * (relevance - epsilon_)).clamp(0, 1);
  }
}

void NeuronGuard::commit() {
  committed_.clear();
  for (const auto& a : noted_) committed_.push_back(a.clone());
}

std::vector<at::Tensor> NeuronGuard::before() const {
  std::vector<at::Tensor> out;
  for (const auto& layer : layers_)
    out.push_back(layer.weight.detach().clone()), out.push_back(layer.bias.detach().clone());
  return out;
}

void NeuronGuard::restrain(const std::vector<at::Tensor>& before) const {
  const at::NoGradGuard no_grad;
  for (size_t l = 0; l < layers_.size(); ++l) {
    auto weight = layers_[l].weight, bias = layers_[l].bias;
    weight.copy_(before.at(2 * l) + committed_[l].unsqueeze(1) * (weight - before[2 * l]));
    bias.copy_(before.at(2 * l + 1) + committed_[l] * (bias - before[2 * l + 1]));
  }
}

double NeuronGuard::taken() const {
  constexpr double kGone = 0.05;
  double gone = 0, all = 0;
  for (const auto& a : noted_)
    gone += a.lt(kGone).sum().item<double>(), all += static_cast<double>(a.numel());
  return all > 0 ? gone / all : 0;
}

}  // namespace gw::inline train
