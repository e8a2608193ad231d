#pragma once
#include <torch/nn/module.h>

#include "gatewright/base/json.h"
#include "gatewright/base/pass_stream.h"
#include "gatewright/experts/bank.h"
#include "gatewright/mixture/execute.h"
#include "gatewright/mixture/router.h"

namespace gw::inline mixture {

struct MixtureOptions : OptionSet {
  int64_t experts = 8;
  int64_t in = 0, out = 0;
  int64_t shared_experts = 0;
  bool shared_gate = false;
  bool output_bias = false;
  PartChoice gate = "linear", policy = {"softmax_top_k", {{"k", 2}}}, bank = "mlp";
  PartChoice shared_bank;  ///< none: as `bank`
  std::string execution = "fused";
  std::vector<PartChoice> balancers;
  int64_t seed = 0;
  bool drawn = true;  ///< not an option: false leaves the experts' weights to a checkpoint
  void fields(OptionVisitor& v) override;
};

/// What a layer is called in records and errors until set_tap() names it.
inline constexpr const char* kOwnSite = "mixture";

/// What a mixture layer returns.
struct MixtureOutput {
  at::Tensor y;            ///< [T, out] (or [B, out, H', W'])
  RoutingPlan plan;        ///< with the balancers' losses under their names in `aux`
  at::Tensor next_scores;  ///< for the next block's RouterInputs::scores, from gates that decide ahead; else
                           ///< undefined
};

/// gate → policy → gather → experts → weighted scatter (+ shared experts).
/// Math:   y_t = Σ_{e chosen by t} weight_te · expert_e(x_t) + g_t · Σ_s shared_s(x_t) (+ bypass_t · x_t) (+
///         b), g = 1, or σ(⟨w, x_t⟩) with `shared_gate`; b [O] with `output_bias`. A token without an expert
///         gets zero from the routed ones. Soft plans: y = combine
///         · experts(dispatch · x).
/// Shapes: tokens [T, D] → [T, O], or maps [B, C, H, W] → [B, O, H', W'] with the conv bank.
/// Types:  f32, bf16 or f64, that of the experts' weights, in and out. Gate, scores, routing weights,
///         selection bias and counts stay f32 in a bf16 layer. Under autocast the tokens are taken to the
///         type of the weights.
/// Errors: ValueError for unknown parts, K > E, tokens that do not fit (gatewright/mixture/tokens.h);
///         NumericError for NaN scores.
/// Cost:   the bank's mix(); with an exchange one gather and one weighted index_add of N rows besides.
class Mixture : public torch::nn::Module {
 public:
  explicit Mixture(const MixtureOptions& options);
  /// The same from a JSON object, as recipes give it.
  static std::shared_ptr<Mixture> from_json(const Json& options);
  /// Policies that draw get new draws on every pass, from the layer's own stream: `draws()`.
  MixtureOutput forward(const at::Tensor& x) { return forward(x, RouterInputs{}); }
  /// With the draws of this stream: the same bits at every call.
  MixtureOutput forward(const at::Tensor& x, const Rng& rng);
  /// The same with what is known about the tokens: ids, tasks, sequences, positions, enforced routes, scores
  /// made ahead, draws.
  MixtureOutput forward(const at::Tensor& x, const RouterInputs& inputs);
  /// The same with the draws, step, mode and tap of a pass: what models hand down. Passes may run at the same
  /// time in several threads, training ones one at a time.
  MixtureOutput forward(const at::Tensor& x, const RouterInputs& inputs, const Pass& pass);
  /// Exchanges banks/mlp, the shared ones too, by one that holds its weights rounded, for inference:
  /// `weights` bf16, int8 or int4, `group` as the bank's. Errors: ValueError for other banks.
  void hold(const std::string& weights, int64_t group);
  /// After an optimiser step: controllers (selection bias, adaptive coefficients) see the plans of all
  /// training passes since the last call as one batch. Nothing happens without controllers.
  void end_step();

  void set_exchange(std::shared_ptr<TokenExchange> exchange) { exchange_ = std::move(exchange); }
  void set_store(std::shared_ptr<WeightStore> store) { store_ = std::move(store); }
  /// What this layer is called where decisions are recorded, and in errors.
  void set_site(std::string site) { site_ = std::move(site); }
  /// Sees and may replace every decision of passes that bring no tap: recorders, replay. `site` names this
  /// layer there. Null: none.
  void set_tap(std::shared_ptr<RouteTap> tap, const std::string& site) {
    tap_ = std::move(tap);
    site_ = site;
  }
  /// This rank's tokens are part of a larger batch: balance losses and controllers count all of it
  /// (decisions/006). Gradients of the ranks are then to be summed, not averaged. Null: the tokens are the
  /// batch.
  void set_ranks(std::shared_ptr<const RankSum> ranks) { router_.set_ranks(std::move(ranks)); }
  /// The stream of passes without an Rng of theirs. It starts from `seed`: layers of one model want a seed
  /// each, for their initial weights as for their draws. torch::save writes how many passes are done, so that
  /// a training goes on with the draws it would have had.
  PassStream& draws() { return draws_; }
  void save(torch::serialize::OutputArchive& archive) const override;
  void load(torch::serialize::InputArchive& archive) override;
  /// A layer of its own with the same parameters, buffers, training mode, draws and passes since end_step():
  /// for averages of weights and target networks. Exchange, store, tap and ranks are not carried over: what
  /// they stand for belongs to this layer.
  std::shared_ptr<torch::nn::Module> clone(
      const c10::optional<torch::Device>& device = c10::nullopt) const override;
  using torch::nn::Module::to;
  void to(torch::Device device, torch::Dtype dtype, bool non_blocking = false) override;
  void to(torch::Dtype dtype, bool non_blocking = false) override;
  Gate& gate() { return router_.gate(); }
  Bank& bank() { return *bank_; }
  const Policy& policy() const { return router_.policy(); }

 private:
  void clone_(torch::nn::Module& other, const c10::optional<torch::Device>& device) override;
  void copy_from(const Mixture& other, const c10::optional<torch::Device>& device);
  RoutingPlan route(const at::Tensor& x, const RouterInputs& inputs, const Pass& pass);
  void add_shared(const Rng& seed);
  at::Tensor shared(const at::Tensor& x) const;

  MixtureOptions options_;
  Execution execution_;
  PassStream draws_;
  Router router_;
  std::shared_ptr<Bank> bank_, shared_;
  at::Tensor shared_gate_, output_bias_;
  std::shared_ptr<TokenExchange>
      exchange_;  ///< null: rows stay here, and the bank may gather and scatter in one pass
  std::shared_ptr<WeightStore> store_ = std::make_shared<WeightStore>();
  std::shared_ptr<RouteTap> tap_;
  std::string site_ = kOwnSite;
};

}  // namespace gw::inline mixture
