#pragma once
// Image networks as the trainer, the attacks and the reports see them.
#include "gatewright/models/combine.h"
#include "gatewright/models/model.h"
#include "gatewright/models/routing_context.h"

namespace gw::inline models {

/// Catalogue `gatewright/models/zoo/`: a backbone with its head, over buckets.
class Backbone : public torch::nn::Module {
 public:
  static constexpr const char* kKind = "models";
  using Context = ZooContext;
  /// BucketedBatch of images → logits [B, classes], rows in original order.
  virtual at::Tensor forward(const BucketedBatch& images) = 0;
};

struct NetworkOptions : OptionSet {
  std::string backbone = "small_cnn";
  OptionTable backbone_options;
  int64_t experts = 1;
  double ratio = 1.0;
  std::string routing = "image", execution = "bucketed", combine = "none";
  PartChoice gate = "cnn", policy = "top1_straight_through";
  std::vector<PartChoice> balancers;
  std::vector<std::string> own;
  int64_t seed = 0;
  void fields(OptionVisitor& v) override;
};

/// What the image-level router is called where decisions are recorded; layers have their own names.
inline constexpr const char* kImageSite = "router";

/// Where one forward pass goes.
struct ForwardOptions : Pass {
  ForwardOptions() = default;
  explicit ForwardOptions(const Rng& draws) { rng = draws; }
  Execution execution =
      Execution::kBucketed;  ///< of a network that chooses experts; a merged one has no other
  at::Tensor scores;         ///< router scores already at hand [B, E]: the router is not run again
  /// false: the network's answer carries no gradient through the choice of experts (the scores keep theirs).
  /// Attacks want this: the straight-through gradient of a choice that does not change drowns that of the
  /// pathway.
  bool straight_through = true;
  bool record_router =
      true;  ///< false: decisions carry no gradient to the router (its forward pass is not recorded)
};

/// Router + backbone. Dense networks are the case experts = 1.
/// Parameters are named "router.…" (image-level gate) and "backbone.…"; per-layer gates live in the backbone
/// under names that contain ".router.".
class Network : public Model {
 public:
  /// Errors: ValueError for unknown parts or options, experts without a gate, an input too small for the
  ///         backbone.
  Network(const NetworkOptions& options, int64_t channels, int64_t height, int64_t width, int64_t classes);
  /// images [B, C, H, W] float in [0, 1], any memory format (made channels-last).
  NetworkOutput forward(const at::Tensor& images, const ForwardOptions& options = {});
  /// Scores of the image-level router alone; undefined without one.
  at::Tensor route(const at::Tensor& images, const Pass& pass = {});
  /// Bounds of the lead of its expert `first` over the others within a ball (Gate::lead_bounds).
  /// Errors: ValueError unless `certifiable`, saying what is missing.
  at::Tensor route_leads(const at::Tensor& images, const at::Tensor& first, const at::Tensor& radius);
  /// Whether the image-level router can prove its choices: a gate that knows bounds, and a policy that is
  /// greedy or chooses by lead. `why`: what is missing.
  bool certifiable(std::string* why = nullptr) const;
  /// What evaluation decides on scores [B, E] of the image-level router. Errors: as its policy.
  RoutingPlan plan_in_evaluation(const at::Tensor& scores);
  /// The expert that evaluation gives each row of scores [B, E] of the image-level router. Errors: as its
  /// policy.
  std::vector<int64_t> choose(const at::Tensor& scores);

  Output answer(const Batch& batch, const Pass& pass) override;
  Batch example(int64_t count, const Rng& rng) const override;

  const NetworkShape& shape() const { return shape_; }
  bool image_routed() const { return router_.has_value(); }
  /// Of the image-level router, which there must be.
  const Policy& image_policy() const { return router_->policy(); }
  /// Sets what the policy of the image-level router learns from scores [n, E] of held-out images; nothing
  /// without such a router.
  void calibrate(const at::Tensor& scores);
  /// Whether an image may meet several pathways, whose answers are averaged.
  bool combines() const { return combine_.has_value(); }
  const std::optional<Combine>& combine() const { return combine_; }
  /// Whether decisions bring balance losses in their plans.
  bool balanced() const { return balanced_; }
  void end_step() override;
  bool routed() const override { return shape_.experts > 1; }
  std::vector<at::Tensor> backbone_parameters() const { return other_parameters(); }
  /// Multiply-adds of one image on one pathway, counted while one image passes. Cost: one forward pass.
  NetworkCost cost();

  /// The router and the backbone apart, to set one to training and the other to evaluation.
  torch::nn::Module* router() const { return router_ ? &router_->gate() : nullptr; }
  torch::nn::Module& backbone() const { return *backbone_; }

 private:
  void check_pass(const at::Tensor& images, const ForwardOptions& options) const;
  at::Tensor image_scores(const at::Tensor& x, const ForwardOptions& options) const;
  at::Tensor combined(const at::Tensor& x, const RoutingPlan& plan, BucketedPass& pass);
  RoutingPlan decide(const at::Tensor& scores, int64_t batch, const ForwardOptions& options);

  NetworkShape shape_;
  bool balanced_ = false;
  std::shared_ptr<Backbone> backbone_;
  at::Tensor
      first_weight_;  ///< whose type images have; at hand, since a list of all takes longer than a check
  std::optional<Router> router_;  ///< of whole images
  std::optional<Combine> combine_;
};

/// Errors: ValueError naming `part` unless the model is an image network.
Network& image_network(Model& model, const char* part);

}  // namespace gw::inline models
