#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/train/robust/attack_base.h"

namespace gw::inline train {
namespace {

/// Attacks answer and router together: projected gradient steps on the sum of both losses. Plain PGD where a
/// victim has no scores.
/// Math:   maximise CE(f(x'), y) + router_weight · CE(s(x'), y mod E).
/// Cost:   restarts · steps forward and backward passes, 1 forward pass more per restart when there are
///         several.
/// Source: Zhang et al. 2023, arXiv 2308.10110, the evaluation of robust accuracy (PGD-10, step 2/255, ε =
///         8/255, weight 6).
class Joint : public AttackBase {
 public:
  struct Options : SignSteps {
    Options() { step_size = 2.0 / 255.0; }
    double router_weight = 6;
    void fields(OptionVisitor& v) override {
      SignSteps::fields(v);
      v.real("router_weight", router_weight, "weight of the router's cross-entropy", 0, 1e6);
    }
  };
  static constexpr const char* kSummary = "projected gradient steps on the answer and the router together";
  static constexpr const char* kSource = "Zhang et al. 2023, arXiv 2308.10110 (AdvMoE)";
  Joint(Options options, const Context& context) : AttackBase("attacks/joint", context), options_(options) {}

 protected:
  at::Tensor search(Probe& probe, const at::Tensor& x, const at::Tensor& labels, const Rng& rng,
                    AttackResult&) override {
    const SampleObjective objective = [&](const at::Tensor& images) {
      const Victim::Response response = probe.respond(images);
      at::Tensor loss = cross_entropy(response.logits, labels);
      if (response.scores.defined()) {
        loss = loss + options_.router_weight *
                          cross_entropy(response.scores, labels.remainder(response.scores.size(1)));
      }
      return Candidates{{}, loss, margin_loss(response.logits.detach(), labels)};
    };
    return perturb_restarted(options_, x, epsilon(), rng, objective);
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Attack, gw::Joint);
