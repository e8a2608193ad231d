#include "gatewright/base/registry.h"
#include "gatewright/train/robust/apgd.h"
#include "gatewright/train/robust/attack_base.h"

namespace gw::inline train {
namespace {

/// AutoPGD on the cross-entropy. Images that the victim gets wrong already are returned as they are.
/// Cost:   per restart steps + 1 forward and `steps` backward passes on the images that still resist.
/// Source: Croce & Hein 2020, arXiv 2003.01690; see gatewright/train/robust/apgd.h.
class ApgdCe : public AttackBase {
 public:
  using Options = ApgdOptions;
  static constexpr const char* kSummary =
      "AutoPGD on the cross-entropy: momentum, and step sizes that adapt per image";
  static constexpr const char* kSource = "Croce & Hein 2020, arXiv 2003.01690";
  ApgdCe(Options options, const Context& context)
      : AttackBase("attacks/apgd_ce", context), options_(options) {}

 protected:
  at::Tensor search(Probe& probe, const at::Tensor& x, const at::Tensor& labels, const Rng& rng,
                    AttackResult&) override {
    Candidates worst = probe.clean_candidates(cross_entropy, labels);
    const auto objective_of = [&](const at::Tensor& rows) {
      return probe.objective(cross_entropy, labels.index_select(0, rows));
    };
    apgd_restarted(options_, objective_of, x, epsilon(), rng, false, worst);
    return worst.images;
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Attack, gw::ApgdCe);
