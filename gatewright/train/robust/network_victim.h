#pragma once
#include "gatewright/models/network.h"
#include "gatewright/train/robust/victim.h"

namespace gw::inline train {

/// A network as attacks see it. Gradients follow the pathway and, apart from it, the scores; none passes
/// straight through the choice: measured on a robust mixture, PGD with that gradient left 62 % standing where
/// 48 % do without.
/// A network in training mode is refused (ValueError). Parameters are constants (batch norm folded).
class NetworkVictim : public Victim {
 public:
  /// `base`: step and tap of the passes; their draws and purpose are the search's.
  explicit NetworkVictim(Network& network, const ForwardOptions& base = {})
      : network_(network), base_(base) {}
  Response respond(const at::Tensor& images) override;
  Response respond_through_choice(const at::Tensor& images) override;
  at::Tensor route(const at::Tensor& images) override;
  at::Tensor respond_forced(const at::Tensor& images, int64_t expert) override;
  int64_t experts() const override { return network_.shape().experts; }
  int64_t classes() const override { return network_.shape().classes; }

 private:
  Response answer(const at::Tensor& images, bool through_choice);
  Network& network_;
  ForwardOptions base_;
};

}  // namespace gw::inline train
