#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/train/robust/attack_base.h"

namespace gw::inline train {
namespace {

/// Attacks the routing decision alone; the answer is not looked at. Success is `flipped` of the result.
/// Math:   maximise KL(softmax s(x) ‖ softmax s(x'))   ("kl"),
///         CE(s(x'), argmax s(x))                      ("ce"), or
///         CE(s(x'), y mod E)                          ("label", as the published code evaluates).
/// Errors: ValueError for a victim without image-level scores of at least 2 experts.
/// Cost:   restarts · steps forward and backward passes, 1 forward pass more per restart when there are
///         several.
/// Source: Zhang et al. 2023, arXiv 2308.10110, the dissection of section 4; differs: "ce" is ours.
class RouterAttack : public AttackBase {
 public:
  struct Options : SignSteps {
    std::string objective = "ce";
    void fields(OptionVisitor& v) override {
      SignSteps::fields(v);
      v.text("objective", objective,
             "kl: away from the clean scores; ce: away from the clean choice; label: away from y mod E",
             {"ce", "kl", "label"});
    }
  };
  static constexpr const char* kSummary = "projected gradient steps on the router's scores alone";
  static constexpr const char* kSource = "Zhang et al. 2023, arXiv 2308.10110 (AdvMoE)";
  RouterAttack(Options options, const Context& context)
      : AttackBase("attacks/router", context), options_(options) {
    // At the clean image the divergence is at its minimum: its gradient is zero and no step would move.
    GW_CHECK(options_.random_start || options_.objective != "kl",
             "{}: expected random_start with the objective \"kl\", got none", part());
  }

 protected:
  at::Tensor search(Probe& probe, const at::Tensor& x, const at::Tensor& labels, const Rng& rng,
                    AttackResult&) override {
    const at::Tensor clean = probe.clean().scores;
    GW_CHECK(clean.defined() && clean.size(1) >= 2,
             "{}: expected a victim with image-level scores of 2 experts or more, got {}; use \"pgd\"",
             part(), clean.defined() ? "one expert" : "no scores");
    const at::Tensor choice = clean.argmax(1);
    const at::Tensor target = options_.objective == "label" ? labels.remainder(clean.size(1)) : choice;
    const SampleObjective objective = [&](const at::Tensor& images) {
      const at::Tensor scores = probe.respond(images).scores;
      const at::Tensor loss =
          options_.objective == "kl" ? kl_divergence(clean, scores) : cross_entropy(scores, target);
      return Candidates{{}, loss, margin_loss(scores.detach(), choice)};
    };
    return perturb_restarted(options_, x, epsilon(), rng, objective);
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Attack, gw::RouterAttack);
