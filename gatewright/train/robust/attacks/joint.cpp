#include "gatewright/base/registry.h"
#include "gatewright/train/robust/joint_attack.h"

namespace gw::inline train {
namespace {

/// Attacks answer and router together: projected gradient steps on the sum of both losses. Plain PGD where a
/// victim has no scores.
/// Math:   maximise CE(f(x'), y) + router_weight · CE(s(x'), y mod E).
/// Cost:   restarts · steps forward and backward passes, 1 forward pass more per restart when there are
///         several.
/// Source: Zhang et al. 2023, arXiv 2308.10110, the evaluation of robust accuracy (PGD-10, step 2/255, ε =
///         8/255, weight 6); differs: no gradient passes through the choice of experts, as it does in
///         `published`.
class Joint : public AttackBase {
 public:
  using Options = JointSteps;
  static constexpr const char* kSummary = "projected gradient steps on the answer and the router together";
  static constexpr const char* kSource = "Zhang et al. 2023, arXiv 2308.10110 (AdvMoE)";
  Joint(Options options, const Context& context) : AttackBase("attacks/joint", context), options_(options) {}

 protected:
  at::Tensor search(Probe& probe, const at::Tensor& x, const at::Tensor& labels, const Rng& rng,
                    AttackResult&) override {
    return joint_search(options_, probe, /*through_choice=*/false, x, labels, epsilon(), rng);
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Attack, gw::Joint);
