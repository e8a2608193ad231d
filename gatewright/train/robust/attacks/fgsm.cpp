#include "gatewright/base/registry.h"
#include "gatewright/train/robust/attack_base.h"

namespace gw::inline train {
namespace {

/// One sign step of the ball's radius from the image.
/// Math:   x' = P(x + ε sign ∇_x loss(f(x), y)).
/// Cost:   2 forward passes and 1 backward pass.
/// Source: Goodfellow et al. 2015, arXiv 1412.6572, section 4.
class Fgsm : public AttackBase {
 public:
  struct Options : OptionSet {
    std::string loss = "ce";
    void fields(OptionVisitor& v) override {
      v.text("loss", loss, "what the step increases", sample_loss_names());
    }
  };
  static constexpr const char* kSummary = "one sign step of length epsilon";
  static constexpr const char* kSource = "Goodfellow et al. 2015, arXiv 1412.6572";
  Fgsm(Options options, const Context& context)
      : AttackBase("attacks/fgsm", context), loss_(sample_loss(options.loss)) {}

 protected:
  at::Tensor search(Probe& probe, const at::Tensor& x, const at::Tensor& labels, const Rng&,
                    AttackResult&) override {
    const auto total = [&](const at::Tensor& images) {
      return loss_(probe.respond(images).logits, labels).sum();
    };
    return perturb(x, x, 1, epsilon(), epsilon(), total);
  }

 private:
  SampleLoss loss_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Attack, gw::Fgsm);
