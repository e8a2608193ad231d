#include "gatewright/models/network.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <utility>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/base/shown.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/random.h"

namespace gw::inline models {

void NetworkOptions::fields(OptionVisitor& v) {
  v.text("backbone", backbone, "part of the models catalogue");
  v.table("backbone_options", backbone_options, "options of the backbone");
  v.integer("experts", experts, "experts per routed layer; 1 is a dense network", 1, 1024);
  v.real("ratio", ratio, "width of a pathway relative to the dense network", 0.01, 1);
  v.text("routing", routing, "one decision per image, or one per layer", {"image", "layer"});
  v.text(
      "execution", execution,
      "an image meets the expert chosen for it, or one network whose kernels are merged of all experts' by "
      "their weights",
      {"bucketed", "merged"});
  v.text("combine", combine,
         "what becomes of an image that the policy sends to several experts: it is refused, or the logits or "
         "probabilities of their pathways are averaged by its weights, which must sum to one",
         {"none", "logits", "probabilities"});
  v.part("gate", gate,
         "the router: {part = \"cnn\", …}, or per layer a gate over feature maps, or over tokens (the means "
         "of the channels)");
  v.part("policy", policy, "the choice: {part = \"top1_straight_through\", …}");
  v.parts("balancers", balancers, "balance losses and controllers of every router, by name or as tables");
  v.texts(
      "private", own,
      "what each expert has of its own: \"norms\" of its layers, \"stem_norms\" after shared convolutions, "
      "\"head\"");
  v.integer("seed", seed, "of the initial weights", 0, INT64_MAX);
}

namespace {

PrivateParts private_parts(const NetworkOptions& options) {
  PrivateParts own;
  for (const auto& name : options.own) {
    bool* part = name == "norms"        ? &own.norms
                 : name == "stem_norms" ? &own.stem_norms
                 : name == "head"       ? &own.head
                                        : nullptr;
    GW_CHECK(part != nullptr, "network: unknown value \"{}\" in \"private\"{}", shown(name, 60),
             near_miss(name, {"norms", "stem_norms", "head"}));
    GW_CHECK(!*part, "network: expected \"{}\" in \"private\" once, got it twice", name);
    *part = true;
  }
  // One decision per layer: the rows of a norm or head then belong to the expert of another layer.
  GW_CHECK(!own.any() || options.experts == 1 || options.routing == "image" || options.execution == "merged",
           "network: expected routing = \"image\" with \"private\", got \"{}\"; leave \"private\" out",
           options.routing);
  GW_CHECK(
      options.execution != "merged" || !(own.norms || own.stem_norms),
      "network: expected \"head\" alone in \"private\" with execution = \"merged\", whose experts are one "
      "convolution, got norms");
  return own;
}

/// Nothing where an image meets one pathway.
std::optional<Combine> combine_of(const NetworkOptions& options) {
  if (options.combine == "none" || options.experts == 1) return std::nullopt;
  GW_CHECK(options.routing == "image" && options.execution == "bucketed",
           "network: expected routing = \"image\" and execution = \"bucketed\" with combine = \"{}\", which "
           "averages whole pathways, got \"{}\" and \"{}\"",
           options.combine, options.routing, options.execution);
  return options.combine == "logits" ? Combine::kLogits : Combine::kProbabilities;
}

}  // namespace

Network::Network(const NetworkOptions& options, int64_t channels, int64_t height, int64_t width,
                 int64_t classes)
    : Model("Network"),
      shape_{channels,
             height,
             width,
             classes,
             options.experts,
             options.ratio,
             options.routing,
             static_cast<uint64_t>(options.seed),
             private_parts(options),
             options.experts > 1 && options.execution == "merged"} {
  GW_CHECK(channels > 0 && height > 0 && width > 0 && classes > 1,
           "network: expected positive sizes and at least 2 classes, got {}x{}x{} and {} classes", channels,
           height, width, classes);
  balanced_ = shape_.experts > 1 && !options.balancers.empty();
  combine_ = combine_of(options);
  ZooContext context{shape_, options.gate, options.policy, options.balancers};
  backbone_ = register_module(
      "backbone", make_part<Backbone>(options.backbone, options.backbone_options.json(), context));
  first_weight_ = backbone_->parameters().front();
  if (shape_.experts == 1 || shape_.routing != "image") return;
  router_.emplace(Router::Options{shape_.experts, channels, options.gate, options.policy, options.balancers,
                                  Rng(shape_.seed).fork("router").key()});
  GW_CHECK(router_->gate().takes_images(),
           "network: expected a gate over images for image-level routing, got a gate over tokens; use cnn or "
           "pooled_linear");
  if (combine_) {
    check_policy_for_pathways(router_->policy());
  } else if (!shape_.merged) {
    check_policy_for_images(router_->policy());
  }
  router_->register_in(*this, "router");
}

RoutingPlan Network::decide(const at::Tensor& scores, int64_t batch, const ForwardOptions& options) {
  if (!router_) return constant_plan(batch, 1, 0);
  const auto inputs = options.told({}, options.rng.fork("policy"));
  return router_->decide(kImageSite, scores, batch, inputs, options, is_training());
}

at::Tensor Network::image_scores(const at::Tensor& x, const ForwardOptions& options) const {
  if (options.scores.defined()) return options.record_router ? options.scores : options.scores.detach();
  const at::AutoGradMode recorded(options.record_router && at::GradMode::is_enabled());
  return router_->scores(x, options.told({}, options.rng.fork("gate")));
}

void Network::end_step() {
  if (router_) router_->end_step();
  for (const auto& module : modules(/*include_self=*/false)) {
    if (auto* layer = dynamic_cast<LayerRouter*>(module.get())) layer->end_step();
  }
}

void Network::check_pass(const at::Tensor& images, const ForwardOptions& options) const {
  const bool fits = images.dim() == 4 && images.size(1) == shape_.channels &&
                    images.size(2) == shape_.height && images.size(3) == shape_.width;
  GW_CHECK(fits, "network: expected images [B, {}, {}, {}], got {}", shape_.channels, shape_.height,
           shape_.width, c10::str(images.sizes()));
  const auto type = first_weight_.scalar_type();
  GW_CHECK(
      images.scalar_type() == type,
      "network: expected images in {}, as the weights are, got {}; convert them: images.to(weight.dtype())",
      c10::toString(type), c10::toString(images.scalar_type()));
  GW_CHECK(options.forced_expert < shape_.experts, "network: expected a forced expert below {}, got {}",
           shape_.experts, options.forced_expert);
  GW_CHECK(options.random_expert < shape_.experts, "network: expected a place below {} experts, got {}",
           shape_.experts, options.random_expert);
}

NetworkOutput Network::forward(const at::Tensor& images, const ForwardOptions& options) {
  check_pass(images, options);
  const auto x = images.contiguous(at::MemoryFormat::ChannelsLast);
  const auto execution = shape_.merged ? Execution::kMerged : options.execution;
  // Merged kernels and averaged pathways follow the scores smoothly: their weights have a gradient of their
  // own.
  const bool straight = options.straight_through || shape_.merged || combines();
  BucketedPass pass{options, is_training(), execution, straight, {}};
  NetworkOutput out;
  if (router_ && !options.routes_given()) out.scores = image_scores(x, options);
  const bool through = straight || !out.scores.defined();
  auto plan = decide(through ? out.scores : out.scores.detach(), x.size(0), options);
  const bool several = combines() && !options.routes_given();
  out.logits = several ? combined(x, plan, pass)
                       : backbone_->forward(into_buckets(x, index_buckets(plan, execution), &pass));
  out.plans = std::move(pass.plans);
  if (router_) out.plans.push_back({kImageSite, std::move(plan)});
  return out;
}

at::Tensor Network::combined(const at::Tensor& x, const RoutingPlan& plan, BucketedPass& pass) {
  check_averaged(plan);
  auto rows = plan;  // every row an image of its own, in the order of the plan
  rows.tokens = plan.rows();
  rows.token = at::arange(plan.rows(), at::kLong);
  rows.weight = at::ones_like(plan.weight).detach();
  const auto answers = backbone_->forward(
      into_buckets(x.index_select(0, plan.token), index_buckets(rows, pass.execution), &pass));
  return combined_answers(answers, plan, *combine_);
}

void Network::calibrate(const at::Tensor& scores) {
  if (router_) router_->calibrate(scores);
}

at::Tensor Network::route(const at::Tensor& images, const Pass& pass) {
  if (!router_) return {};
  return router_->scores(images.contiguous(at::MemoryFormat::ChannelsLast), pass.told({}, pass.rng));
}

bool Network::certifiable(std::string* why) const {
  std::string lacks;
  if (!router_) {
    lacks = "no router of whole images; set network.experts >= 2 and routing = \"image\"";
  } else if (!router_->gate().bounded()) {
    lacks = "a gate without bounds; set network.gate = { part = \"certified\" }";
  } else if (const auto traits = router_->policy().traits(); !traits.greedy && !traits.by_lead) {
    lacks = "a policy whose choice does not follow from leads; take top1_straight_through or adaptive";
  }
  if (why != nullptr) *why = lacks;
  return lacks.empty();
}

at::Tensor Network::route_leads(const at::Tensor& images, const at::Tensor& first, const at::Tensor& radius) {
  std::string lacks;
  GW_CHECK(certifiable(&lacks), "network: expected a router with certified radii, got {}", lacks);
  return router_->gate().lead_bounds(images, first, radius);
}

RoutingPlan Network::plan_in_evaluation(const at::Tensor& scores) {
  ForwardOptions evaluation;
  evaluation.train = false;
  return decide(scores, scores.size(0), evaluation);
}

std::vector<int64_t> Network::choose(const at::Tensor& scores) {
  const auto expert = chosen_experts(plan_in_evaluation(scores)).contiguous();
  return {expert.data_ptr<int64_t>(), expert.data_ptr<int64_t>() + expert.numel()};
}

Output Network::answer(const Batch& batch, const Pass& pass) {
  ForwardOptions options;
  static_cast<Pass&>(options) = pass;
  auto out = forward(batch.at("image"), options);
  return {std::move(out.logits), std::move(out.plans)};
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
  ForwardOptions options;
  options.train = false;
  const auto image = at::zeros({1, shape_.channels, shape_.height, shape_.width});
  NetworkCost cost;
  {
    const ops::CostRecorder recorder;
    auto one = options;
    if (combines()) one.forced_expert = 0;  // one pathway, and no router
    forward(image, one);
    cost.backbone = recorder.macs();
  }
  if (router_) {
    const ops::CostRecorder recorder;
    route(image, options);
    cost.router = recorder.macs();
    if (!combines()) cost.backbone -= cost.router;
  }
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
