#include "gatewright/ops/squared_norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

namespace gw::ops {
namespace {

// libtorch splits a sum over threads from 32 768 elements on: below, its order does not depend on them.
constexpr int64_t kPiece = 16384;

}  // namespace

double squared_norm(const at::Tensor& values) {
  if (!values.defined() || values.numel() == 0) return 0;
  const at::NoGradGuard no_grad;
  double sum = 0;
  for (const auto& piece : values.reshape({-1}).split(kPiece))
    sum += piece.to(at::kDouble).square().sum().item<double>();
  return sum;
}

}  // namespace gw::ops
