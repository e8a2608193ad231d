#include "gatewright/train/slope.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/check.h"

namespace gw::inline train {

at::Tensor log_odds(const at::Tensor& logits, int64_t of) {
  GW_CHECK(logits.dim() == 2 && logits.size(1) >= 2 && of >= 0 && of < logits.size(1),
           "log_odds: expected logits [B, C] and one of their classes, got {} dimensions and class {}",
           logits.dim(), of);
  const auto others =
      at::cat({logits.narrow(1, 0, of), logits.narrow(1, of + 1, logits.size(1) - of - 1)}, 1);
  return logits.select(1, of) - at::logsumexp(others, 1);
}

std::pair<Output, at::Tensor> answer_with_slope(Model& model, const Batch& batch, const Pass& pass,
                                                int64_t of, bool learns) {
  const auto x = batch.find("x");
  GW_CHECK(x.defined() && at::isFloatingType(x.scalar_type()),
           "slope: expected data with inputs \"x\", got none; a constraint on distances needs them");
  const at::AutoGradMode mode(true);
  auto own = batch;
  const auto input = x.detach().requires_grad_(true);
  own.fields["x"] = input;
  auto out = model.answer(own, pass);
  const auto odds = log_odds(out.answer, of).sum();
  auto slope = torch::autograd::grad({odds}, {input}, {}, learns, learns)[0];
  if (!learns) out.answer = out.answer.detach(), slope = slope.detach();
  return {std::move(out), std::move(slope)};
}

}  // namespace gw::inline train
