#include "gatewright/train/answers.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"

namespace gw::inline train {

at::Tensor answers_to(const EvaluationPass& pass) {
  constexpr int64_t kBatch = 256;
  std::vector<at::Tensor> answers;
  each_answer(pass, kBatch, [&](const Batch&, const Output& output) { answers.push_back(output.answer); });
  return at::cat(answers);
}

at::Tensor answers_to(Model& model, const TensorSet& set, const Tick& tick) {
  EvaluationPass pass{model, set, Rng(0), {}};
  pass.frame.step = -1, pass.tick = tick;
  return answers_to(pass);
}

double share_right(const at::Tensor& answers, const at::Tensor& label) {
  GW_CHECK(answers.dim() == 2 && label.dim() == 1 && label.size(0) == answers.size(0),
           "train: expected answers [n, classes] and a label for each, got {} dimensions and {} labels",
           answers.dim(), label.numel());
  return answers.argmax(1).eq(label).to(at::kDouble).mean().item<double>();
}

}  // namespace gw::inline train
