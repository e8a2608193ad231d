#include "gatewright/base/registry.h"
#include "gatewright/train/robust/attack_base.h"

namespace gw::inline train {
namespace {

/// Uniform noise of the ball: the control that every attack must beat.
/// Math:   x' = P(x + u), u ~ U[−ε, ε] per pixel; per image the draw of the largest margin.
/// Cost:   draws + 1 forward passes.
class Noise : public AttackBase {
 public:
  struct Options : OptionSet {
    int64_t draws = 1;
    void fields(OptionVisitor& v) override {
      v.integer("draws", draws, "tries, the worst kept per image", 1, 100000);
    }
  };
  static constexpr const char* kSummary = "uniform noise in the ball: the control without any search";
  static constexpr const char* kSource = "";
  Noise(Options options, const Context& context) : AttackBase("attacks/noise", context), options_(options) {}

 protected:
  at::Tensor search(Probe& probe, const at::Tensor& x, const at::Tensor& labels, const Rng& rng,
                    AttackResult&) override {
    if (options_.draws == 1) return random_start(rng.fork("noise"), x, epsilon());
    Candidates worst;
    const SampleObjective objective = probe.objective(margin_loss, labels);
    for (int64_t draw = 0; draw < options_.draws; ++draw) {
      const at::Tensor images = random_start(rng.fork("noise", static_cast<uint64_t>(draw)), x, epsilon());
      Candidates candidates = objective(images);
      candidates.images = images;
      if (draw == 0) worst = candidates;
      if (draw > 0) keep_worst(worst, candidates);
    }
    return worst.images;
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Attack, gw::Noise);
