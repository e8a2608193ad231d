#include "gatewright/models/expert_set.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/ops/activation.h"
#include "gatewright/ops/bucket_norm.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/init.h"

namespace gw::inline models {

ExpertSet::ExpertSet(int64_t count, int64_t in, const ExpertForm& form, const Rng& rng)
    : torch::nn::Module("ExpertSet"), in_(in), form_(form) {
  GW_CHECK(count >= 1 && in >= 1, "experts: expected at least 1 expert over at least 1 value, got {} over {}",
           count, in);
  for (int64_t e = 0; e < count; ++e)
    experts_.push_back(make(e, rng.fork("expert", static_cast<uint64_t>(e))));
}

at::Tensor ExpertSet::own(const std::string& name, at::Tensor value, bool trained) {
  return trained ? register_parameter(name, std::move(value)) : register_buffer(name, std::move(value));
}

ExpertSet::Expert ExpertSet::make(int64_t index, const Rng& rng) {
  const auto at = std::to_string(index) + "_";
  Expert expert;
  int64_t from = in_;
  for (const int64_t width : {form_.hidden, form_.width}) {
    if (width == 0) continue;
    const auto layer = std::to_string(expert.weight.size());
    expert.weight.push_back(
        own("weight" + at + layer, ops::default_uniform(rng.fork("w" + layer), {width, from})));
    expert.bias.push_back(own("bias" + at + layer, at::zeros({width})));
    from = width;
  }
  if (form_.norm) {
    expert.gamma = own("gamma" + at, at::ones({form_.width}));
    expert.beta = own("beta" + at, at::zeros({form_.width}));
    expert.mean = own("running_mean" + at, at::zeros({form_.width}), false);
    expert.var = own("running_var" + at, at::ones({form_.width}), false);
  }
  if (form_.pieces > 0) {
    expert.low = own("low" + at, ops::default_uniform(rng.fork("low"), {form_.pieces * form_.rank, in_}));
    expert.high = own("high" + at, at::zeros({form_.pieces, form_.rank, in_}));
    if (form_.pieces > 1)
      expert.pieces = own("pieces" + at, ops::default_uniform(rng.fork("pieces"), {form_.pieces, in_}));
  }
  return expert;
}

at::Tensor ExpertSet::feature_gate(int64_t index, const at::Tensor& x) const {
  const auto& expert = experts_.at(static_cast<size_t>(index));
  if (!expert.low.defined()) return {};
  const auto low = ops::linear(x, expert.low, {});
  const auto share =
      expert.pieces.defined() ? at::softmax(ops::linear(x, expert.pieces, {}), 1) : at::Tensor();
  at::Tensor sum;
  for (int64_t l = 0; l < form_.pieces; ++l) {
    ops::CostRecorder::add(x.size(0) * form_.rank * in_);
    auto piece = 2 * at::sigmoid(at::matmul(low.narrow(1, l * form_.rank, form_.rank), expert.high[l]));
    if (share.defined()) piece = piece * share.narrow(1, l, 1);
    sum = sum.defined() ? sum + piece : piece;
  }
  return sum;
}

std::vector<at::Tensor> ExpertSet::forward(const at::Tensor& x, bool train) {
  GW_CHECK(x.dim() == 2 && x.size(1) == in_, "experts: expected rows [B, {}], got {} dimensions of {} values",
           in_, x.dim(), x.numel());
  GW_CHECK(
      !form_.norm || !train || x.size(0) > 1,
      "experts: expected at least 2 rows in a training batch, whose statistics the experts are normalised "
      "by, got {}; raise \"batch\"",
      x.size(0));
  std::vector<at::Tensor> answers;
  for (size_t e = 0; e < experts_.size(); ++e) {
    auto& expert = experts_[e];
    const auto gate = feature_gate(static_cast<int64_t>(e), x);
    auto h = gate.defined() ? x * gate : x;
    for (size_t layer = 0; layer < expert.weight.size(); ++layer) {
      h = ops::linear(h, expert.weight[layer], expert.bias[layer]);
      if (form_.norm && layer + 1 == expert.weight.size()) {
        ops::NormParameters norm{expert.gamma, expert.beta, expert.mean, expert.var};
        h = ops::bucket_norm({h}, norm, train, false).front();
      }
      h = ops::activation(h, form_.activation);
    }
    answers.push_back(h);
  }
  return answers;
}

}  // namespace gw::inline models
