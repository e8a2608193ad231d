#include "train/network_victim.h"

#include "ops/frozen.h"

namespace gw {

Victim::Response NetworkVictim::respond(const at::Tensor& images) {
  const ops::FrozenParameters frozen;
  ForwardOptions options;
  options.straight_through = false;
  options.purpose = RoutePurpose::kSearch;
  const auto out = network_.forward(images, options);
  return {out.logits, out.scores};
}

at::Tensor NetworkVictim::respond_forced(const at::Tensor& images, int64_t expert) {
  const ops::FrozenParameters frozen;
  ForwardOptions options;
  options.forced_expert = expert;
  options.straight_through = false;
  return network_.forward(images, options).logits;
}

}  // namespace gw
