#include "gatewright/models/compiled_network.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "gatewright/base/check.h"
#include "gatewright/ops/thread_pool.h"

namespace gw::inline models {
namespace {

at::Tensor sample_image(const NetworkShape& s) {
  return at::full({1, s.channels, s.height, s.width}, 0.5).contiguous(at::MemoryFormat::ChannelsLast);
}

std::unique_ptr<ops::PlaneProgram> pathway(Network& network, const at::Tensor& image, int64_t expert) {
  ForwardOptions options;
  options.train = false;
  options.forced_expert = network.image_routed() ? expert : options.forced_expert;
  const ops::StepLog log;
  const auto logits = network.forward(image, options).logits;
  return std::make_unique<ops::PlaneProgram>(log, image, logits);
}

/// Null where the gate logs no steps: it then runs as it is.
std::unique_ptr<ops::PlaneProgram> router_program(Network& network, const at::Tensor& image) {
  Pass pass;
  pass.train = false;
  const ops::StepLog log;
  const auto scores = network.route(image, pass);
  if (log.steps().empty() || log.steps().back().out.data_ptr() != scores.data_ptr()) return nullptr;
  return std::make_unique<ops::PlaneProgram>(log, image, scores);
}

/// `combined_table` by plain loops, expert after expert: for one image its single operations took as long as
/// a pathway.
class RunningAverage {
 public:
  RunningAverage(at::Tensor& average, Combine combine)
      : average_(average.data_ptr<float>()), classes_(average.size(1)), combine_(combine) {
    average.fill_(combine == Combine::kLogits ? 0 : -std::numeric_limits<float>::infinity());
  }
  void add(int64_t image, float weight, const float* logits) {
    float* sum = average_ + image * classes_;
    if (combine_ == Combine::kLogits) {
      for (int64_t c = 0; c < classes_; ++c) sum[c] += weight * logits[c];
      return;
    }
    if (weight <= 0) return;
    const float largest = *std::max_element(logits, logits + classes_);
    float total = 0;
    for (int64_t c = 0; c < classes_; ++c) total += std::exp(logits[c] - largest);
    const float shift = std::log(weight) - largest - std::log(total);
    for (int64_t c = 0; c < classes_; ++c) {
      const float value = logits[c] + shift, high = std::max(sum[c], value);
      sum[c] = high + std::log1p(std::exp(std::min(sum[c], value) - high));
    }
  }

 private:
  float* average_;
  int64_t classes_;
  Combine combine_;
};

}  // namespace

CompiledNetwork::CompiledNetwork(Network& network) : shape_(network.shape()), network_(&network) {
  GW_CHECK(
      shape_.experts == 1 || network.image_routed() != shape_.merged,
      "compiled network: expected one decision per image, or kernels merged layer by layer, got routing = "
      "\"{}\"; run the network itself",
      shape_.routing);
  const at::NoGradGuard no_grad;
  const auto image = sample_image(shape_);
  const int64_t pathways = network.image_routed() ? shape_.experts : 1;
  for (int64_t e = 0; e < pathways; ++e) programs_.push_back(pathway(network, image, e));
  if (!network.image_routed()) return;
  router_ = router_program(network, image);
  greedy_ = network.image_policy().traits().greedy;
}

void CompiledNetwork::check(const at::Tensor& x) const {
  const bool fits = x.dim() == 4 && x.size(1) == shape_.channels && x.size(2) == shape_.height &&
                    x.size(3) == shape_.width && x.scalar_type() == at::kFloat;
  GW_CHECK(fits, "compiled network: expected images [B, {}, {}, {}] in Float, got {} in {}", shape_.channels,
           shape_.height, shape_.width, c10::str(x.sizes()), c10::toString(x.scalar_type()));
}

std::vector<int64_t> CompiledNetwork::choose(const at::Tensor& scores) const {
  if (!greedy_) return network_->choose(scores);
  std::vector<int64_t> expert(static_cast<size_t>(scores.size(0)));
  const float* row = scores.data_ptr<float>();
  for (size_t i = 0; i < expert.size(); ++i, row += shape_.experts) {
    for (int64_t e = 0; e < shape_.experts; ++e)
      GW_CHECK(std::isfinite(row[e]),
               "compiled network: expected finite scores, got {} for expert {} of image {}", row[e], e, i);
    expert[i] = std::max_element(row, row + shape_.experts) - row;
  }
  return expert;
}

/// Each pathway answers its images; what an image's pathways answer is averaged as they come.
void CompiledNetwork::run_several(const at::Tensor& images, ops::TorchPool& pool, Answer& answer) const {
  const auto plan = network_->plan_in_evaluation(answer.scores);
  const auto token = plan.token.contiguous(), weight = plan.weight.to(at::kFloat).contiguous();
  auto sum = RunningAverage(answer.logits, *network_->combine());
  const auto own = at::empty_like(answer.logits);
  for (int64_t e = 0; e < plan.experts(); ++e) {
    if (plan.rows_of(e) == 0) continue;
    const int64_t first = plan.offsets[static_cast<size_t>(e)];
    const auto* rows = token.data_ptr<int64_t>() + first;
    programs_[static_cast<size_t>(e)]->run(images, rows, plan.rows_of(e), own.data_ptr<float>(), pool);
    for (int64_t i = 0; i < plan.rows_of(e); ++i)
      sum.add(rows[i], weight.data_ptr<float>()[first + i], own.data_ptr<float>() + rows[i] * shape_.classes);
  }
  const auto first = chosen_experts(plan);
  answer.expert.assign(first.data_ptr<int64_t>(), first.data_ptr<int64_t>() + first.numel());
}

CompiledNetwork::Answer CompiledNetwork::run(const at::Tensor& images) const {
  check(images);
  const at::NoGradGuard no_grad;
  const int64_t batch = images.size(0);
  Answer answer{at::empty({batch, shape_.classes}), {}, std::vector<int64_t>(static_cast<size_t>(batch), 0)};
  std::vector<int64_t> row(static_cast<size_t>(batch));
  std::iota(row.begin(), row.end(), 0);
  ops::TorchPool pool;
  if (network_->image_routed()) {
    answer.scores = router_ ? at::empty({batch, shape_.experts}) : network_->route(images).to(at::kFloat);
    if (router_) router_->run(images, row.data(), batch, answer.scores.data_ptr<float>(), pool);
    if (network_->combines()) {
      run_several(images, pool, answer);
      return answer;
    }
    answer.expert = choose(answer.scores);
    std::stable_sort(row.begin(), row.end(), [&](int64_t a, int64_t b) {
      return answer.expert[static_cast<size_t>(a)] < answer.expert[static_cast<size_t>(b)];
    });
  }
  for (int64_t first = 0; first < batch;) {
    const int64_t e = answer.expert[static_cast<size_t>(row[static_cast<size_t>(first)])];
    int64_t last = first;
    while (last < batch && answer.expert[static_cast<size_t>(row[static_cast<size_t>(last)])] == e) ++last;
    programs_[static_cast<size_t>(e)]->run(images, row.data() + first, last - first,
                                           answer.logits.data_ptr<float>(), pool);
    first = last;
  }
  return answer;
}

}  // namespace gw::inline models
