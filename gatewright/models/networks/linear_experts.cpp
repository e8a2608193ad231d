#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/growing.h"
#include "gatewright/models/model.h"
#include "gatewright/models/table_rows.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/random.h"

namespace gw::inline models {
namespace {

/// Linear classifiers that a gate mixes by probability; some may join and leave while it learns.
/// Math:   answer = log Σ_e π_e(x) softmax(x W_e + c_e), π = softmax(x V + u): cross-entropy of it is the
///         competitive likelihood of a mixture.
/// Shapes: x [B, D] → [B, classes].
/// Cost:   B · D · experts · (classes + 1), of the experts that are there.
/// Source: Sharma, Henderson, Ghosh 2022 (FEAMOE), arXiv 2210.04995, reconstructed from its abstract;
///         Shapley values are those of the experts with the gate held.
class LinearExperts : public Model, public GrowingExperts, public Attributing {
 public:
  static constexpr const char* kSummary = "linear classifiers that a gate mixes; experts may be added";
  static constexpr const char* kSource = "FEAMOE, arXiv 2210.04995 (reconstructed)";
  struct Options : OptionSet {
    int64_t experts = 1, most = 10;
    double noise = 0.05;
    void fields(OptionVisitor& v) override {
      v.integer("experts", experts, "at the start", 1, 1024);
      v.integer("most", most, "experts that there may be", 1, 1024);
      v.real("noise", noise, "deviation of what a new expert's weights differ from those it copies", 0, 10);
    }
  };

  LinearExperts(const Options& options, const Context& context) : Model("LinearExperts"), o_(options) {
    inputs_ = context.data.inputs, classes_ = context.answer.width;
    GW_CHECK(inputs_ > 0 && !context.answer.per_token && classes_ >= 2,
             "networks/linear_experts: expected rows \"x\" and classes to tell, got {} inputs and {} classes",
             inputs_, classes_);
    GW_CHECK(o_.experts <= o_.most, "networks/linear_experts: expected experts of at most most = {}, got {}",
             o_.most, o_.experts);
    const Rng rng = Rng(context.seed).fork("networks/linear_experts");
    const double scale = 0.1 / std::sqrt(static_cast<double>(inputs_));
    weight_ =
        register_parameter("weight", ops::normal(rng.fork("weight"), {o_.most, inputs_, classes_}, 0, scale));
    bias_ = register_parameter("bias", at::zeros({o_.most, classes_}));
    router_ = register_module("router", std::make_shared<torch::nn::Module>("Router"));
    gate_ =
        router_->register_parameter("weight", ops::normal(rng.fork("gate"), {inputs_, o_.most}, 0, scale));
    gate_bias_ = router_->register_parameter("bias", at::zeros({o_.most}));
    present_ = register_buffer("present", at::arange(o_.most).lt(o_.experts).to(at::kLong));
  }

  Output answer(const Batch& batch, const Pass&) override {
    const auto& x = batch.at("x");
    GW_CHECK(x.dim() == 2 && x.size(1) == inputs_,
             "networks/linear_experts: expected rows [B, {}], got {} dimensions", inputs_, x.dim());
    const auto here = places();
    const auto share = shares(x, here);
    const auto log_p = at::log_softmax(scores(x, here), 2);
    ops::CostRecorder::add(x.size(0) * inputs_ * here.numel() * (classes_ + 1));
    auto use = std::make_shared<ExpertUse>();
    ExpertUse::Gate gate{"gate", {}, {}, share.exp()};
    for (int64_t e = 0; e < here.numel(); ++e) {
      use->experts.push_back("expert" + std::to_string(here[e].item<int64_t>()));
      use->answers.push_back(log_p.select(1, e)), gate.experts.push_back(e);
    }
    use->gates.push_back(std::move(gate));
    return {at::logsumexp(share.unsqueeze(2) + log_p, 1), {}, use};
  }

  Batch example(int64_t count, const Rng& rng) const override { return drawn_rows(count, inputs_, rng); }
  bool routed() const override { return false; }

  int64_t experts() const override { return present_.sum().item<int64_t>(); }
  int64_t most_experts() const override { return o_.most; }

  bool grow(int64_t like, const Rng& rng) override {
    const auto free = present_.eq(0).nonzero().view({-1});
    if (free.numel() == 0) return false;
    const at::NoGradGuard no_grad;
    const int64_t place = free[0].item<int64_t>(), source = places()[like].item<int64_t>();
    weight_[place].copy_(
        weight_[source] +
        ops::normal(rng.fork("weight"), {inputs_, classes_}, 0, o_.noise).to(weight_.scalar_type()));
    bias_[place].copy_(bias_[source]);
    gate_.select(1, place).zero_();
    // An even share beside the scores that the others have at a row of zeros.
    const auto others = gate_bias_.index_select(0, places());
    gate_bias_[place].copy_(at::logsumexp(others, 0) - std::log(static_cast<double>(others.numel())));
    present_[place] = 1;
    return true;
  }

  void drop(int64_t expert) override {
    GW_CHECK(experts() > 1,
             "networks/linear_experts: expected an expert to remain, got the last one to drop");
    present_[places()[expert].item<int64_t>()] = 0;
  }

  at::Tensor attributions(const at::Tensor& x, const at::Tensor& mean) const override {
    const auto here = places();
    const auto w = weight_.index_select(0, here);  // [E, D, C]
    const auto share = shares(x, here).exp();
    if (classes_ == 2) return share.matmul(w.select(2, 1) - w.select(2, 0)) * (x - mean);
    const auto chance = scores(x, here).softmax(2).mul(share.unsqueeze(2)).sum(1);
    const auto lead = (w - w.mean(2, true)).index_select(2, chance.argmax(1));  // [E, D, B]
    return at::einsum("be,edb->bd", {share, lead}) * (x - mean);
  }

 private:
  at::Tensor places() const { return present_.nonzero().view({-1}); }
  /// log π [B, E].
  at::Tensor shares(const at::Tensor& x, const at::Tensor& here) const {
    const auto v = gate_.index_select(1, here), u = gate_bias_.index_select(0, here);
    return at::log_softmax(x.matmul(v) + u, 1);
  }
  /// x W_e + c_e [B, E, classes].
  at::Tensor scores(const at::Tensor& x, const at::Tensor& here) const {
    const auto w = weight_.index_select(0, here);
    const auto flat = w.permute({1, 0, 2}).reshape({inputs_, here.numel() * classes_});
    return x.matmul(flat).view({x.size(0), here.numel(), classes_}) + bias_.index_select(0, here);
  }

  Options o_;
  int64_t inputs_ = 0, classes_ = 0;
  std::shared_ptr<torch::nn::Module> router_;  // parameters of gates are known by this name
  at::Tensor weight_, bias_, gate_, gate_bias_, present_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::LinearExperts);
