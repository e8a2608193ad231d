#include "gatewright/models/network.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <utility>

#include "gatewright/base/registry.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/random.h"

namespace gw::inline models {
namespace {

/// Sets the pass for the layers below and restores the outer one, also when a layer throws.
class PassScope {
 public:
  explicit PassScope(ForwardPass* pass) : outer_(ForwardPass::current()) { ForwardPass::current() = pass; }
  ~PassScope() { ForwardPass::current() = outer_; }
  PassScope(const PassScope&) = delete;
  PassScope& operator=(const PassScope&) = delete;

 private:
  ForwardPass* outer_;
};

}  // namespace

void NetworkOptions::fields(OptionVisitor& v) {
  v.text("backbone", backbone, "part of the models catalogue");
  v.table("backbone_options", backbone_options, "options of the backbone");
  v.integer("experts", experts, "experts per routed layer; 1 is a dense network", 1, 1024);
  v.real("ratio", ratio, "width of a pathway relative to the dense network", 0.01, 1);
  v.text("routing", routing, "one decision per image, or one per layer", {"image", "layer"});
  v.table("gate", gate,
          "the router: {part = \"cnn\", …}, or per layer a gate over feature maps, or over tokens (the means "
          "of the channels)");
  v.table("policy", policy, "the choice: {part = \"top1_straight_through\", …}");
  v.integer("seed", seed, "of the initial weights", 0, INT64_MAX);
}

Network::Network(const NetworkOptions& options, int64_t channels, int64_t height, int64_t width,
                 int64_t classes)
    : Model("Network"), shape_{channels,        height,
                               width,           classes,
                               options.experts, options.ratio,
                               options.routing, static_cast<uint64_t>(options.seed)} {
  GW_CHECK(channels > 0 && height > 0 && width > 0 && classes > 1,
           "network: expected positive sizes and at least 2 classes, got {}x{}x{} and {} classes", channels,
           height, width, classes);
  ZooContext context{shape_, Json::parse(options.gate), Json::parse(options.policy)};
  backbone_ = register_module(
      "backbone", make_part<Backbone>(options.backbone, Json::parse(options.backbone_options), context));
  if (shape_.experts > 1 && shape_.routing == "image") {
    const Gate::Context gate{channels, shape_.experts, Rng(shape_.seed).fork("router").key()};
    gate_ = register_module("router", make_part<Gate>("gate", Json::parse(options.gate), gate, 0));
    GW_CHECK(gate_->takes_images(),
             "network: expected a gate over images for image-level routing, got a gate over tokens; use cnn "
             "or pooled_linear");
    policy_ = make_part<Policy>("policy", Json::parse(options.policy), Policy::Context{shape_.experts}, 0);
    check_policy_for_images(*policy_);
  }
}

RoutingPlan Network::decide(const at::Tensor& scores, int64_t batch, const ForwardOptions& options) {
  if (shape_.experts == 1 || shape_.routing == "layer") return constant_plan(batch, 1, 0);
  if (options.forced_expert >= 0) return constant_plan(batch, shape_.experts, options.forced_expert);
  if (options.drawn_place >= 0)
    return constant_plan(batch, shape_.experts,
                         drawn_expert(options.rng, kImageSite, shape_.experts, options.drawn_place));
  const Rng rng = options.rng.fork("policy");
  return tap_->decide(policy_query(kImageSite, options.purpose, *policy_, scores, is_training(), rng));
}

at::Tensor Network::image_scores(const at::Tensor& x, const ForwardOptions& options) {
  if (options.scores.defined()) return options.record_router ? options.scores : options.scores.detach();
  RouterInputs inputs;
  inputs.rng = options.rng.fork("gate"), inputs.step = step_;
  const at::AutoGradMode recorded(options.record_router && at::GradMode::is_enabled());
  return gate_scores(*gate_, x, inputs);
}

NetworkOutput Network::forward(const at::Tensor& images, const ForwardOptions& options) {
  const bool fits = images.dim() == 4 && images.size(1) == shape_.channels &&
                    images.size(2) == shape_.height && images.size(3) == shape_.width;
  GW_CHECK(fits, "network: expected images [B, {}, {}, {}], got {}", shape_.channels, shape_.height,
           shape_.width, c10::str(images.sizes()));
  const auto type = parameters().front().scalar_type();
  GW_CHECK(
      images.scalar_type() == type,
      "network: expected images in {}, as the weights are, got {}; convert them: images.to(weight.dtype())",
      c10::toString(type), c10::toString(images.scalar_type()));
  GW_CHECK(options.forced_expert < shape_.experts, "network: expected a forced expert below {}, got {}",
           shape_.experts, options.forced_expert);
  GW_CHECK(options.drawn_place < shape_.experts, "network: expected a place below {} experts, got {}",
           shape_.experts, options.drawn_place);
  const auto x = images.contiguous(at::MemoryFormat::ChannelsLast);
  ForwardPass pass{is_training(),
                   options.execution,
                   options.forced_expert,
                   options.drawn_place,
                   options.straight_through,
                   options.rng,
                   step_,
                   tap_.get(),
                   options.purpose,
                   {}};
  const PassScope scope(&pass);
  NetworkOutput out;
  if (gate_ && options.forced_expert < 0 && options.drawn_place < 0) out.scores = image_scores(x, options);
  const bool through = options.straight_through || !out.scores.defined();
  auto plan = decide(through ? out.scores : out.scores.detach(), x.size(0), options);
  auto arrangement = arrange(plan, options.execution);
  out.logits = backbone_->forward(enter(x, std::move(arrangement)));
  out.plans = std::move(pass.plans);
  if (gate_) out.plans.push_back(std::move(plan));
  return out;
}

at::Tensor Network::route(const at::Tensor& images) {
  return gate_ ? gate_scores(*gate_, images.contiguous(at::MemoryFormat::ChannelsLast), {}) : at::Tensor();
}

Output Network::answer(const Batch& batch, const Pass& pass) {
  if (pass.step >= 0) set_step(pass.step);
  auto out = forward(batch.at("image"), drawing_from(pass.rng, pass.purpose));
  Output answer{std::move(out.logits), {}};
  for (size_t i = 0; i < out.plans.size(); ++i) {
    answer.plans.push_back({gate_ ? kImageSite : "layer" + std::to_string(i), std::move(out.plans[i])});
  }
  return answer;
}

Batch Network::example(int64_t count, const Rng& rng) const {
  Batch batch;
  batch.fields["image"] = ops::uniform(rng, {count, shape_.channels, shape_.height, shape_.width}, 0, 1)
                              .contiguous(at::MemoryFormat::ChannelsLast);
  batch.index = at::arange(count, at::kLong);
  return batch;
}

NetworkCost Network::cost() {
  const at::NoGradGuard no_grad;
  const bool training = is_training();
  const auto tap = std::exchange(tap_, std::make_shared<RouteTap>());  // a blank image is nobody's decision
  eval();
  const auto image = at::zeros({1, shape_.channels, shape_.height, shape_.width});
  NetworkCost cost;
  {
    const ops::CostRecorder recorder;
    forward(image);
    cost.backbone = recorder.macs();
  }
  if (gate_) {
    const ops::CostRecorder recorder;
    route(image);
    cost.router = recorder.macs();
    cost.backbone -= cost.router;
  }
  train(training);
  tap_ = tap;
  return cost;
}

Network& image_network(Model& model, const char* part) {
  auto* network = dynamic_cast<Network*>(&model);
  GW_CHECK(network != nullptr,
           "{}: expected an image network, got another model; set network.part = \"image\", or take "
           "objectives/natural",
           part);
  return *network;
}

}  // namespace gw::inline models
