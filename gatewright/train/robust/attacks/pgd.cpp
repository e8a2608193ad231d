#include "gatewright/base/registry.h"
#include "gatewright/train/robust/attack_base.h"

namespace gw::inline train {
namespace {

/// Projected gradient descent on the answer alone; the last iterate counts, the worst of the restarts is
/// kept.
/// Math:   x' ← P(x' + η sign ∇ loss(f(x'), y)), from a uniform point of the ball.
/// Cost:   restarts · steps forward and backward passes, 1 forward pass more per restart when there are
///         several.
/// Source: Madry et al. 2018, arXiv 1706.06083.
class Pgd : public AttackBase {
 public:
  struct Options : SignSteps {
    std::string loss = "ce";
    void fields(OptionVisitor& v) override {
      SignSteps::fields(v);
      v.text("loss", loss, "what the steps increase", sample_loss_names());
    }
  };
  static constexpr const char* kSummary = "projected gradient steps by signs";
  static constexpr const char* kSource = "Madry et al. 2018, arXiv 1706.06083";
  Pgd(Options options, const Context& context)
      : AttackBase("attacks/pgd", context), options_(options), loss_(sample_loss(options.loss)) {}

 protected:
  at::Tensor search(Probe& probe, const at::Tensor& x, const at::Tensor& labels, const Rng& rng,
                    AttackResult&) override {
    return perturb_restarted(options_, x, epsilon(), rng, probe.objective(loss_, labels));
  }

 private:
  Options options_;
  SampleLoss loss_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Attack, gw::Pgd);
