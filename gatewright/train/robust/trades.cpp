#include "gatewright/train/robust/trades.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/error.h"
#include "gatewright/ops/frozen.h"
#include "gatewright/ops/random.h"
#include "gatewright/train/robust/attack_loop.h"

namespace gw::inline train {

void TradesOptions::fields(OptionVisitor& v) {
  v.real("beta", beta, "weight of the consistency term", 0, 1e6);
  v.integer("steps", steps, "attack steps per training step", 1, 1000);
  v.real("step_size", step_size, "attack step in pixel units; 0: 0.625 epsilon", 0, 1);
  v.real("start_noise", start_noise, "standard deviation of the noise that starts the attack", 0, 1);
  v.real("router_weight", router_weight, "weight of the router's term in the attack", 0, 1e6);
  v.flag("straight_through", straight_through,
         "the attack's gradient also passes through the choice of experts (published code)");
}

namespace {

at::Tensor climbed(const at::Tensor& images, const Rng& rng, const TradesOptions& options, double epsilon,
                   const ImageObjective& objective) {
  const auto noise = ops::normal(rng, images.sizes(), 0, options.start_noise);
  const double step = options.step_size > 0 ? options.step_size : 0.625 * epsilon;
  return perturb(images + noise.contiguous(at::MemoryFormat::ChannelsLast), images, options.steps, step,
                 epsilon, objective);
}

}  // namespace

at::Tensor trades_images(Network& network, const at::Tensor& images, const at::Tensor& scores,
                         const TradesOptions& options, double epsilon, const ForwardOptions& base) {
  const EvaluationScope evaluation(network);
  const ops::FrozenParameters frozen;
  at::Tensor target;
  const Rng rng = base.rng;
  ForwardOptions pass = base;
  pass.purpose = RoutePurpose::kSearch;
  pass.rng = rng.fork("draws");  // the same for all passes of this search, which needs one function to climb,
                                 // and others for the next
  {
    const at::NoGradGuard no_grad;
    target = network.forward(images, pass).logits;
  }
  if (!at::isfinite(target).all().item<bool>()) {
    throw NumericError(
        "train: expected finite answers of the network, got NaN or infinity; lower the learning rate or look "
        "at the data");
  }
  const bool with_router = scores.defined() && options.router_weight > 0;
  pass.straight_through = options.straight_through;
  const auto objective = [&](const at::Tensor& x) {
    const auto out = network.forward(x, pass);
    auto loss = kl_divergence(target, out.logits).sum();
    if (with_router) loss = loss + options.router_weight * kl_divergence(scores.detach(), out.scores).sum();
    return loss;
  };
  return climbed(images, rng, options, epsilon, objective);
}

at::Tensor route_images(Network& network, const at::Tensor& images, const at::Tensor& scores,
                        const TradesOptions& options, double epsilon, const ForwardOptions& base) {
  const EvaluationScope evaluation(network);
  const ops::FrozenParameters frozen;
  const auto target = scores.detach();
  ForwardOptions pass = base;
  pass.purpose = RoutePurpose::kSearch;
  pass.rng = base.rng.fork("draws");
  const auto objective = [&](const at::Tensor& x) {
    return kl_divergence(target, network.route(x, pass)).sum();
  };
  return climbed(images, base.rng, options, epsilon, objective);
}

at::Tensor mean_kl(const at::Tensor& reference, const at::Tensor& logits) {
  return kl_divergence(reference, logits).mean();
}

}  // namespace gw::inline train
