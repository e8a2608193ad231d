// A gate of the tests alone, registered as any part is.
#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/gate.h"

namespace gw::test {
namespace {

/// Linear in the means of four windows, and bounds as if nothing could be moved.
class LyingGate : public gw::Gate {
 public:
  static constexpr const char* kSummary = "of the tests: claims bounds that do not hold";
  static constexpr const char* kSource = "";
  static constexpr GateTraits kTraits = [] {
    GateTraits traits;
    traits.images = traits.bounded = true;
    return traits;
  }();
  struct Options : OptionSet {};

  LyingGate(const Options&, const Context& context) : channels_(context.width) {
    weight_ = register_parameter("weight", ops::normal(Rng(1), {context.experts, 4}, 0, 1));
  }
  at::Tensor forward(const at::Tensor& x) override {
    GW_CHECK(x.dim() == 4 && x.size(1) == channels_, "gates/lying_gate: expected images");
    const auto means = at::adaptive_avg_pool2d(x.mean(1, true), {2, 2}).flatten(1);
    return at::linear(means - 0.5, weight_.to(x.scalar_type()));
  }
  at::Tensor lead_bounds(const at::Tensor& x, const at::Tensor& first, const at::Tensor&) override {
    const auto scores = forward(x);
    return scores.gather(1, first.unsqueeze(1)) - scores;
  }
  bool takes_images() const override { return true; }
  bool bounded() const override { return true; }

 private:
  int64_t channels_;
  at::Tensor weight_;
};

}  // namespace
}  // namespace gw::test

GW_REGISTER(gw::Gate, gw::test::LyingGate);
