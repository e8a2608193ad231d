#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/train/robust/attack_base.h"

namespace gw::inline train {
namespace {

/// A mixture with every image forced through one expert: a dense network.
class ForcedVictim : public Victim {
 public:
  ForcedVictim(Victim& victim, int64_t expert) : victim_(victim), expert_(expert) {}
  Response respond(const at::Tensor& images) override {
    return {victim_.respond_forced(images, expert_), {}};
  }
  at::Tensor respond_forced(const at::Tensor& images, int64_t) override {
    return victim_.respond_forced(images, expert_);
  }
  int64_t classes() const override { return victim_.classes(); }

 private:
  Victim& victim_;
  int64_t expert_;
};

/// Attacks each expert's pathway on its own, then tries what was found on the routed network. A hard choice
/// of experts has no gradient, so an attack on the routed network can miss a flip; where this one lowers the
/// accuracy below PGD's, routing masks.
/// Math:   for each e: x'_e = inner attack on f(·; route = e); of {x, x'_0 … x'_{E−1}} the image of the
///         routed network's largest margin. `fooled` is the routed network's; `fooled_per_expert` and
///         `clean_correct_per_expert` are the forced ones'.
/// Cost:   E · (the inner attack's + 2) forward passes.
/// Source: ours, to check hard routing for masked gradients (Athalye et al. 2018, arXiv 1802.00420, name the
///         effect).
class PerPathway : public AttackBase {
 public:
  struct Options : OptionSet {
    std::string attack = "pgd";
    OptionTable options;
    void fields(OptionVisitor& v) override {
      v.text("attack", attack, "the attack on a forced pathway, by name");
      v.table("options", options, "its options");
    }
  };
  static constexpr const char* kSummary =
      "each expert's pathway attacked on its own: shows whether hard routing masks gradients";
  static constexpr const char* kSource = "";
  PerPathway(Options options, const Context& context)
      : AttackBase("attacks/per_pathway", context),
        inner_(make_part<Attack>(options.attack, options.options.json(), context)) {}

 protected:
  at::Tensor search(Probe& probe, const at::Tensor& x, const at::Tensor& labels, const Rng& rng,
                    AttackResult& result) override {
    Candidates worst = probe.clean_candidates(margin_loss, labels);
    for (int64_t expert = 0; expert < probe.victim().experts(); ++expert) {
      ForcedVictim forced(probe.victim(), expert);
      Probe pathway(part(), forced, x);
      result.clean_correct_per_expert.push_back(pathway.clean().logits.argmax(1) == labels);
      const AttackResult found =
          inner_->run(forced, x, labels, rng.fork("expert", static_cast<uint64_t>(expert)));
      result.fooled_per_expert.push_back(found.fooled);
      probe.add_queries(found.queries + 1);
      const at::Tensor margin = margin_loss(probe.respond(found.images).logits, labels);
      keep_worst(worst, {found.images, margin, margin});
    }
    return worst.images;
  }

 private:
  std::shared_ptr<Attack> inner_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Attack, gw::PerPathway);
