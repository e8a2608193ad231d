#include "gatewright/base/registry.h"
#include "gatewright/train/robust/joint_attack.h"

namespace gw::inline train {
namespace {

/// The evaluation of the published code for networks with hard routes: the steps of `joint`, whose gradient
/// also passes straight through the choice of experts. That part belongs to a choice that a small step does
/// not change and drowns the pathway's own, so this attack finds less than `joint` and `pgd` and what it
/// leaves standing is no robustness (docs/hard-routing.md). For comparison with published numbers: recipes
/// name it in `evaluation.beside`, which does not count towards the worst case. Plain PGD where a victim has
/// no scores.
/// Math:   maximise CE(f(x'), y) + router_weight · CE(s(x'), y mod E), with d onehot(argmax s) / ds := 1.
/// Cost:   restarts · steps forward and backward passes, 1 forward pass more per restart when there are
///         several.
/// Source: Zhang et al. 2023, arXiv 2308.10110, the evaluation of its code (PGD-10 from a uniform start, step
///         2/255, ε = 8/255, weight 6).
class Published : public AttackBase {
 public:
  using Options = JointSteps;
  static constexpr const char* kSummary =
      "the published evaluation of hard routes: a gradient through the choice; finds too little";
  static constexpr const char* kSource = "Zhang et al. 2023, arXiv 2308.10110 (AdvMoE), its code";
  Published(Options options, const Context& context)
      : AttackBase("attacks/published", context), options_(options) {}

 protected:
  at::Tensor search(Probe& probe, const at::Tensor& x, const at::Tensor& labels, const Rng& rng,
                    AttackResult&) override {
    return joint_search(options_, probe, /*through_choice=*/true, x, labels, epsilon(), rng);
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Attack, gw::Published);
