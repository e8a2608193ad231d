#include "gatewright/models/routed_layers.h"

#include <ATen/ATen.h>

#include "gatewright/base/error.h"
#include "gatewright/ops/activation.h"
#include "gatewright/ops/expert_norm.h"
#include "gatewright/ops/init.h"
#include "gatewright/ops/max_pool.h"
#include "gatewright/ops/merged_conv.h"
#include "gatewright/ops/random.h"
#include "gatewright/ops/step_log.h"
#include "gatewright/ops/straight_through.h"

namespace gw::inline models {
namespace {

std::shared_ptr<LayerRouter> layer_router(torch::nn::Module& owner, const ops::ConvNormShape& shape,
                                          const ZooContext& context, const std::string& name) {
  if (shape.experts == 1 || !context.per_layer()) return nullptr;
  return owner.register_module("router", std::make_shared<LayerRouter>(context, shape.in, name));
}

struct ExpertRows {
  int64_t expert;
  at::Tensor row;  ///< [n] positions in original order; undefined: all, in that order
};

/// Which rows met which expert; experts that none met are left out.
std::vector<ExpertRows> rows_by_expert(const BucketIndex& index, int64_t experts) {
  std::vector<ExpertRows> out;
  if (index.masked_expert.defined()) {
    for (int64_t e = 0; e < experts; ++e) {
      const auto row = index.masked_expert.eq(e).nonzero().squeeze(1);
      if (row.size(0) > 0) out.push_back({e, row});
    }
    return out;
  }
  int64_t start = 0;
  for (size_t i = 0; i < index.expert.size(); start += index.sizes[i], ++i) {
    const auto row = index.token.defined() ? index.token.narrow(0, start, index.sizes[i]) : at::Tensor();
    out.push_back({index.expert[i], row});
  }
  return out;
}

using ops::Step;
using ops::StepLog;

/// Runs and logs one step for every part; `kind` has what all steps share.
template <class F>
BucketedBatch logged(const BucketedBatch& batch, const Step& kind, const F& function) {
  return each_bucket(batch, [&](const at::Tensor& x) {
    auto y = function(x);
    StepLog::add([&] {
      Step step = kind;
      step.x = x, step.out = y;
      return step;
    });
    return y;
  });
}

/// Rows [B, E·n] → [B, n], weighed by mixing [B, E].
at::Tensor mixed(const at::Tensor& rows, const at::Tensor& mixing) {
  const auto y = rows.view({rows.size(0), mixing.size(1), -1}).mul(mixing.unsqueeze(2)).sum(1);
  StepLog::add([&] {
    Step step{Step::Kind::kMix, rows, y};
    step.mixing = mixing;
    return step;
  });
  return y;
}

}  // namespace

RoutedConvNorm::RoutedConvNorm(ops::ConvNormShape shape, const ZooContext& context, const std::string& name)
    : torch::nn::Module("RoutedConvNorm") {
  shape.norms = context.norms(shape.experts > 1);
  conv_ = register_module("conv", std::make_shared<ops::ConvNorm>(shape, context.init().fork(name)));
  router_ = layer_router(*this, shape, context, name);
}

BucketedBatch RoutedConvNorm::forward(const BucketedBatch& x, const BucketedBatch* residual) {
  const BucketedBatch routed = router_ ? router_->forward(x) : x;
  std::vector<at::Tensor> added;
  if (residual != nullptr) added = rebucketed(*residual, routed.index).parts;
  return {conv_->forward(routed.parts, *routed.index, added, routed.train()), routed.index, routed.pass};
}

BucketNorm::BucketNorm(int64_t channels, const ZooContext& context)
    : torch::nn::Module("BucketNorm"), norms_(context.norms(true)) {
  channels *= norms_;
  gamma_ = register_parameter("weight", at::ones({channels}));
  beta_ = register_parameter("bias", at::zeros({channels}));
  running_mean_ = register_buffer("running_mean", at::zeros({channels}));
  running_var_ = register_buffer("running_var", at::ones({channels}));
}

BucketedBatch BucketNorm::forward(const BucketedBatch& x) {
  ops::NormParameters norm{gamma_, beta_, running_mean_, running_var_};
  const bool training = x.train().value_or(is_training());
  BucketedBatch out{ops::expert_norm(x.parts, *x.index, norm, norms_, training, /*relu=*/true), x.index,
                    x.pass};
  if (StepLog::wanted() && !training && !x.index->masked_expert.defined()) log_steps(x, out, norm);
  return out;
}

void BucketNorm::log_steps(const BucketedBatch& x, const BucketedBatch& out,
                           const ops::NormParameters& norm) const {
  const auto [scale, shift] = ops::scale_and_shift(norm);
  const auto scales = scale.chunk(norms_, 0), shifts = shift.chunk(norms_, 0);
  for (size_t i = 0; i < x.parts.size(); ++i) {
    const auto expert = static_cast<size_t>(norms_ > 1 ? x.index->expert[i] : 0);
    StepLog::add([&] {
      Step step{Step::Kind::kScale, x.parts[i], out.parts[i], scales[expert], shifts[expert]};
      step.relu = true;
      return step;
    });
  }
}

RoutedConv::RoutedConv(ops::ConvNormShape shape, const ZooContext& context, const std::string& name)
    : torch::nn::Module("RoutedConv"), shape_(shape) {
  const auto rng = context.init().fork(name);
  weight_ =
      register_parameter("weight", ops::kaiming_conv(rng, shape.out * shape.experts, shape.in, shape.kernel));
  router_ = layer_router(*this, shape, context, name);
}

BucketedBatch RoutedConv::forward(const BucketedBatch& x) {
  const BucketedBatch routed = router_ ? router_->forward(x) : x;
  const auto& routes = *routed.index;
  const ops::ConvShape conv{shape_.stride, shape_.kernel / 2};
  BucketedBatch out{{}, routed.index, routed.pass};
  if (shape_.experts > 1 && routes.mixing.defined()) {
    out.parts = {ops::merged_conv2d(routed.parts.at(0), routes.mixing, weight_, conv)};
    StepLog::add([&] {
      Step step{Step::Kind::kMergedConvolution, routed.parts[0], out.parts[0], weight_};
      step.mixing = routes.mixing, step.stride = conv.stride, step.padding = conv.padding;
      return step;
    });
    return out;
  }
  if (routes.masked_expert.defined()) {
    out.parts = {ops::masked_conv(routed.parts.at(0), routes.masked_expert, weight_, shape_.experts, conv)};
  } else {
    const std::vector<int64_t> shared(routed.parts.size(), 0);
    const auto& expert = shape_.experts > 1 ? routes.expert : shared;
    out.parts = ops::routed_conv(routed.parts, expert, weight_, shape_.experts, conv);
    for (size_t i = 0; i < out.parts.size(); ++i) {
      StepLog::add([&] {
        const auto weight = weight_.narrow(0, expert[i] * shape_.out, shape_.out);
        Step step{Step::Kind::kConvolution, routed.parts[i], out.parts[i], weight};
        step.stride = conv.stride, step.padding = conv.padding;
        return step;
      });
    }
  }
  if (shape_.experts > 1 && !routes.route_weight.empty()) {
    for (size_t i = 0; i < out.parts.size(); ++i)
      out.parts[i] = ops::apply_route_weight(out.parts[i], routes.route_weight[i], true);
  }
  return out;
}

Head::Head(int64_t in, int64_t out, const ZooContext& context, const Rng& rng)
    : torch::nn::Module("Head"), heads_(context.heads()) {
  weight_ = register_parameter("weight", ops::normal(rng, {out * heads_, in}, 0, 0.01));
  bias_ = register_parameter("bias", at::zeros({out * heads_}));
}

at::Tensor Head::forward(const at::Tensor& x, const BucketedBatch& routed) {
  if (heads_ == 1) return ops::linear(x, weight_, bias_);
  const int64_t out = bias_.numel() / heads_;
  if (const auto& mixing = routed.index->mixing; mixing.defined())
    return mixed(ops::linear(x, weight_, bias_), mixing);
  const auto answer = [&](int64_t expert, const at::Tensor& features) {
    return ops::linear(features, weight_.narrow(0, expert * out, out), bias_.narrow(0, expert * out, out));
  };
  const auto rows = rows_by_expert(*routed.index, heads_);
  if (rows.size() == 1) return answer(rows[0].expert, x);
  std::vector<at::Tensor> answers, order;
  for (const auto& r : rows)
    answers.push_back(answer(r.expert, x.index_select(0, r.row))), order.push_back(r.row);
  return at::cat(answers, 0).index_select(0, at::cat(order, 0).argsort());
}

at::Tensor pooled(const BucketedBatch& batch) {
  return out_of_buckets(each_bucket(batch, ops::channel_means));
}

at::Tensor pooled(const BucketedBatch& batch, int64_t size) {
  Step step{Step::Kind::kAdaptivePool};
  step.size = size;
  return out_of_buckets(logged(batch, step, [&](const at::Tensor& x) {
    return at::adaptive_avg_pool2d(x, {size, size}).flatten(1);
  }));
}

BucketedBatch max_pool(const BucketedBatch& batch, int64_t size, bool ceil) {
  Step step{Step::Kind::kMaxPool};
  step.size = size, step.ceil = ceil;
  return logged(batch, step, [&](const at::Tensor& x) {
    if (size == 2 && !ceil) return ops::max_pool2(x);
    return at::max_pool2d(x, {size, size}, {size, size}, {0, 0}, {1, 1}, ceil);
  });
}

at::Tensor rectified(const at::Tensor& rows) {
  static const ops::ActivationFunction relu("rectified", "relu");
  auto y = rows.relu();
  StepLog::add([&] {
    Step step{Step::Kind::kActivation, rows, y};
    step.activation = &relu;
    return step;
  });
  return y;
}

BucketedBatch activated(const BucketedBatch& batch, const ops::ActivationFunction& function) {
  Step step{Step::Kind::kActivation};
  step.activation = &function;
  return logged(batch, step, [&](const at::Tensor& x) { return ops::activation(x, function); });
}

BucketedBatch average_pool(const BucketedBatch& batch, int64_t size) {
  Step step{Step::Kind::kAveragePool};
  step.size = size;
  return logged(batch, step, [&](const at::Tensor& x) { return at::avg_pool2d(x, {size, size}); });
}

BucketedBatch bucket_sum(const BucketedBatch& a, const BucketedBatch& b) {
  const BucketedBatch other = rebucketed(b, a.index);
  BucketedBatch out{{}, a.index, a.pass};
  for (size_t i = 0; i < a.parts.size(); ++i) {
    out.parts.push_back(a.parts[i] + other.parts[i]);
    StepLog::add([&] { return Step{Step::Kind::kSum, a.parts[i], out.parts[i], {}, {}, other.parts[i]}; });
  }
  return out;
}

BucketedBatch concatenate(const BucketedBatch& a, const BucketedBatch& b) {
  const BucketedBatch other = rebucketed(a, b.index);
  BucketedBatch out{{}, b.index, b.pass};
  for (size_t i = 0; i < b.parts.size(); ++i) {
    out.parts.push_back(at::cat({other.parts[i], b.parts[i]}, 1));
    StepLog::add(
        [&] { return Step{Step::Kind::kConcatenation, other.parts[i], out.parts[i], {}, {}, b.parts[i]}; });
  }
  return out;
}

}  // namespace gw::inline models
