#include "gatewright/train/timing.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/ops/frozen.h"

namespace gw::inline train {

std::vector<double> milliseconds_per_example(const std::vector<Model*>& models, int64_t batch, int64_t rounds,
                                             const std::function<double()>& now_s) {
  GW_CHECK(batch > 0 && rounds > 0, "timing: expected a batch and rounds of at least 1, got {} and {}", batch,
           rounds);
  const at::NoGradGuard no_grad;
  const ops::FrozenParameters
      constant;  // as a server states it: folded weights are compared with their sources once
  std::vector<std::vector<double>> seconds(models.size());
  std::vector<Batch> examples;
  for (auto* model : models) {
    examples.push_back(model->example(batch, Rng(1)));
    model->eval();
    for (int warm = 0; warm < 3; ++warm) model->answer(examples.back(), Pass{});
  }
  for (int64_t round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < models.size(); ++i) {
      const double start = now_s();
      models[i]->answer(examples[i], Pass{});
      seconds[i].push_back(now_s() - start);
    }
  }
  std::vector<double> out;
  for (auto& list : seconds) {
    std::nth_element(list.begin(), list.begin() + static_cast<int64_t>(list.size() / 2), list.end());
    out.push_back(list[list.size() / 2] * 1e3 / static_cast<double>(batch));
  }
  return out;
}

}  // namespace gw::inline train
