#include "gatewright/train/timing.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "gatewright/base/check.h"
#include "gatewright/models/compiled_network.h"
#include "gatewright/ops/frozen.h"

namespace gw::inline train {

namespace {

/// How a server would answer: through a compiled network where the model can be compiled and is faster so at
/// this batch (large layers at large batches are libtorch's).
class Served {
 public:
  Served(Model& model, const Batch& batch, const std::function<double()>& now_s) : model_(model) {
    model.eval();
    auto* network = dynamic_cast<Network*>(&model);
    if (network == nullptr) return;
    try {
      compiled_ = std::make_unique<CompiledNetwork>(*network);
    } catch (const ValueError&) {  // routing per layer, a backbone of other kernels: it runs as it is
      return;
    }
    if (best_of_three([&] { answer(batch); }, now_s) >
        best_of_three([&] { model_.answer(batch, Pass{}); }, now_s))
      compiled_.reset();
  }
  void answer(const Batch& batch) const {
    compiled_ ? static_cast<void>(compiled_->run(batch.at("image")))
              : static_cast<void>(model_.answer(batch, Pass{}));
  }

 private:
  static double best_of_three(const std::function<void()>& f, const std::function<double()>& now_s) {
    double best = std::numeric_limits<double>::infinity();
    f();  // the first call makes what later ones find
    for (int i = 0; i < 3; ++i) {
      const double start = now_s();
      f();
      best = std::min(best, now_s() - start);
    }
    return best;
  }

  Model& model_;
  std::unique_ptr<CompiledNetwork> compiled_;
};

}  // namespace

std::vector<double> milliseconds_per_example(const std::vector<Model*>& models, int64_t batch, int64_t rounds,
                                             const std::function<double()>& now_s) {
  GW_CHECK(batch > 0 && rounds > 0, "timing: expected a batch and rounds of at least 1, got {} and {}", batch,
           rounds);
  const at::NoGradGuard no_grad;
  const ops::FrozenParameters
      constant;  // as a server states it: folded weights are compared with their sources once
  std::vector<std::vector<double>> seconds(models.size());
  std::vector<Batch> examples;
  std::vector<Served> served;
  served.reserve(models.size());
  for (auto* model : models) {
    examples.push_back(model->example(batch, Rng(1)));
    served.emplace_back(*model, examples.back(), now_s);
    for (int warm = 0; warm < 3; ++warm) served.back().answer(examples.back());
  }
  for (int64_t round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < models.size(); ++i) {
      const double start = now_s();
      served[i].answer(examples[i]);
      seconds[i].push_back(now_s() - start);
    }
  }
  std::vector<double> out;
  for (auto& list : seconds) out.push_back(median_of(std::move(list)) * 1e3 / static_cast<double>(batch));
  return out;
}

double median_of(std::vector<double> values) {
  GW_ENSURE(!values.empty(), "timing: the median of nothing");
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

TurnTimes time_in_turns(const std::function<void(int64_t round)>& first,
                        const std::function<void(int64_t round)>& second, int64_t rounds,
                        const std::function<double()>& now_s) {
  TurnTimes out;
  for (int64_t r = -1; r < rounds; ++r) {
    const double t0 = now_s();
    first(std::max<int64_t>(r, 0));
    const double t1 = now_s();
    second(std::max<int64_t>(r, 0));
    const double t2 = now_s();
    if (r >= 0) out.first.push_back(t1 - t0), out.second.push_back(t2 - t1);
  }
  return out;
}

}  // namespace gw::inline train
