#include "gatewright/train/robust/joint_attack.h"

#include <ATen/ATen.h>

namespace gw::inline train {

void JointSteps::fields(OptionVisitor& v) {
  SignSteps::fields(v);
  v.real("router_weight", router_weight, "weight of the router's cross-entropy", 0, 1e6);
}

at::Tensor joint_search(const JointSteps& options, Probe& probe, bool through_choice, const at::Tensor& x,
                        const at::Tensor& labels, double epsilon, const Rng& rng) {
  const SampleObjective objective = [&](const at::Tensor& images) {
    const Victim::Response response = probe.respond(images, through_choice);
    at::Tensor loss = cross_entropy(response.logits, labels);
    if (response.scores.defined()) {
      loss = loss + options.router_weight *
                        cross_entropy(response.scores, labels.remainder(response.scores.size(1)));
    }
    return Candidates{{}, loss, margin_loss(response.logits.detach(), labels)};
  };
  return perturb_restarted(options, x, epsilon, rng, objective);
}

}  // namespace gw::inline train
