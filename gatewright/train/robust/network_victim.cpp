#include "gatewright/train/robust/network_victim.h"

#include "gatewright/base/check.h"
#include "gatewright/ops/frozen.h"

namespace gw::inline train {
namespace {

void check_mode(const Network& network) {
  GW_CHECK(!network.is_training(),
           "attack: expected a network in evaluation mode, got one in training mode, whose running "
           "statistics would move; call eval() first");
}

}  // namespace

Victim::Response NetworkVictim::answer(const at::Tensor& images, bool through_choice) {
  check_mode(network_);
  const ops::FrozenParameters frozen;
  auto options = base_;
  options.straight_through = through_choice;
  options.purpose = RoutePurpose::kSearch;
  const auto out = network_.forward(images, options);
  return {out.logits, out.scores};
}

Victim::Response NetworkVictim::respond(const at::Tensor& images) { return answer(images, false); }

Victim::Response NetworkVictim::respond_through_choice(const at::Tensor& images) {
  return answer(images, true);
}

at::Tensor NetworkVictim::route(const at::Tensor& images) {
  check_mode(network_);
  const ops::FrozenParameters frozen;
  Pass pass = base_;
  pass.purpose = RoutePurpose::kSearch;
  return network_.route(images, pass);
}

at::Tensor NetworkVictim::respond_forced(const at::Tensor& images, int64_t expert) {
  check_mode(network_);
  const ops::FrozenParameters frozen;
  auto options = base_;
  options.forced_expert = expert;
  options.straight_through = false;
  return network_.forward(images, options).logits;
}

}  // namespace gw::inline train
