#pragma once
// Checks the gradients of an op against central differences, in f64.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace gw::test {

using TensorFunction = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;

/// Fixed, uneven coefficients of about 1 that turn the outputs into one number.
inline at::Tensor project(const std::vector<at::Tensor>& outputs) {
  auto total = at::zeros({}, at::kDouble);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto k = at::arange(outputs[i].numel(), at::kDouble)
                       .mul(1.7)
                       .add(static_cast<double>(i))
                       .cos()
                       .view(outputs[i].sizes());
    total = total + (outputs[i] * k).sum();
  }
  return total;
}

/// |analytic - numeric| / max(1, |numeric|) for one value of a tensor in f64, which is moved and put back.
/// `value`: what is differentiated, with `x` as it stands.
inline double difference_error(double& x, double analytic, const std::function<double()>& value,
                               double step = 1e-5) {
  const double kept = x;
  x = kept + step;
  const double up = value();
  x = kept - step;
  const double down = value();
  x = kept;
  const double numeric = (up - down) / (2 * step);
  return std::abs(analytic - numeric) / std::max(1.0, std::abs(numeric));
}

/// Largest |analytic - numeric| / max(1, |numeric|) over all values of all inputs that are not empty.
/// `inputs` are dense f64 tensors of any layout (kept); stay 10·step away from kinks. Error of the
/// differences: about 1e-9.
inline double gradient_error(const TensorFunction& f, const std::vector<at::Tensor>& inputs,
                             double step = 1e-5) {
  std::vector<at::Tensor> leaves;
  for (const auto& input : inputs) leaves.push_back(input.detach().clone().requires_grad_(true));
  const auto analytic =
      torch::autograd::grad({project(f(leaves))}, leaves, {}, {}, false, /*allow_unused=*/true);
  const auto value = [&](const std::vector<at::Tensor>& at) {
    at::NoGradGuard no_grad;
    return project(f(at)).item<double>();
  };
  double worst = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    auto moved = inputs;
    moved[i] = inputs[i].detach().clone();
    const auto gradient =
        at::zeros_like(moved[i]);  // with the strides of the input, so that both are walked in storage order
    if (analytic[i].defined()) gradient.copy_(analytic[i]);
    for (int64_t j = 0; j < moved[i].numel(); ++j) {
      worst = std::max(worst, difference_error(
                                  moved[i].data_ptr<double>()[j], gradient.data_ptr<double>()[j],
                                  [&] { return value(moved); }, step));
    }
  }
  return worst;
}

}  // namespace gw::test
