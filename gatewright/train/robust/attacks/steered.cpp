#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/train/robust/attack_base.h"

namespace gw::inline train {
namespace {

/// Knows how routes are chosen and aims at the choice and the answer together: for every expert at a way to
/// it on which its pathway errs, and at the border between the two strongest experts, where a rule for unsure
/// images (policies/adaptive with network.combine) lets both answer. A choice has no gradient for `pgd` to
/// follow; here the scores lead to it. Plain PGD where a victim has no scores.
/// Math:   for each e: maximise CE(f_e(x'), y) − w·CE(s(x'), e), f_e the pathway of e;
///         border:     maximise CE(f(x'), y) − w·(s₁(x') − s₂(x')), s₁ ≥ s₂ the two largest scores;
///         of {x, x'_0 … x'_{E−1}, x'_border} the image of the victim's largest margin.
/// Cost:   E + 1 runs of restarts · steps forward and backward passes of a pathway and of the router.
/// Source: ours; adaptive attacks as Tramer et al. 2020, arXiv 2002.08347, ask for.
class Steered : public AttackBase {
 public:
  struct Options : SignSteps {
    double route_weight = 1;
    void fields(OptionVisitor& v) override {
      SignSteps::fields(v);
      v.real("route_weight", route_weight, "weight of the way to an expert, or to the border", 0, 1e6);
    }
  };
  static constexpr const char* kSummary =
      "steps towards each expert and its error at once, and towards the border where several answer";
  static constexpr const char* kSource = "";
  Steered(Options options, const Context& context)
      : AttackBase("attacks/steered", context), options_(options) {}

 protected:
  at::Tensor search(Probe& probe, const at::Tensor& x, const at::Tensor& labels, const Rng& rng,
                    AttackResult&) override {
    Candidates worst = probe.clean_candidates(margin_loss, labels);
    const bool routed = probe.clean().scores.defined();
    const int64_t experts = routed ? probe.victim().experts() : 0;
    for (int64_t expert = 0; expert < experts; ++expert) {
      take(probe, x, labels, rng.fork("expert", static_cast<uint64_t>(expert)), worst,
           [&](const at::Tensor& images) { return by_way_of(probe, images, labels, expert); });
    }
    take(probe, x, labels, rng.fork("border"), worst,
         [&](const at::Tensor& images) { return at_border(probe, images, labels); });
    return worst.images;
  }

 private:
  void take(Probe& probe, const at::Tensor& x, const at::Tensor& labels, const Rng& rng, Candidates& worst,
            const SampleObjective& objective) const {
    const auto found = perturb_restarted(options_, x, epsilon(), rng, objective);
    const auto margin = margin_loss(probe.respond(found).logits, labels);
    keep_worst(worst, {found, margin, margin});
  }

  Candidates by_way_of(Probe& probe, const at::Tensor& images, const at::Tensor& labels,
                       int64_t expert) const {
    const auto logits = probe.respond_forced(images, expert), scores = probe.route(images);
    const auto target = at::full_like(labels, expert);
    const auto loss = cross_entropy(logits, labels) - options_.route_weight * cross_entropy(scores, target);
    // Reached where the image goes that way and errs on it.
    return {{},
            loss,
            at::minimum(margin_loss(logits.detach(), labels), margin_loss(scores.detach(), target).neg())};
  }

  Candidates at_border(Probe& probe, const at::Tensor& images, const at::Tensor& labels) const {
    const auto response = probe.respond(images);
    auto loss = cross_entropy(response.logits, labels);
    if (response.scores.defined() && response.scores.size(1) > 1) {
      const auto top = std::get<0>(response.scores.topk(2, 1));
      loss = loss - options_.route_weight * (top.select(1, 0) - top.select(1, 1));
    }
    return {{}, loss, margin_loss(response.logits.detach(), labels)};
  }

  Options options_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Attack, gw::Steered);
