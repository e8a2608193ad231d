#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/train/adam_moments.h"
#include "gatewright/train/optimizer.h"

namespace gw::inline train {
namespace {

/// Adam with decoupled weight decay.
/// Math:   θ ← θ·(1 − lr·wd), g' = g; m ← β1·m + (1−β1)·g'; v ← β2·v + (1−β2)·g'²; θ ← θ − lr · m̂ / (√v̂ +
///         ε).
/// Source: Loshchilov and Hutter 2019, arXiv 1711.05101.
class AdamW : public Optimizer {
 public:
  static constexpr const char* kSummary = "Adam with decoupled weight decay";
  static constexpr const char* kSource = "Loshchilov and Hutter 2019, arXiv 1711.05101";
  struct Options : AdamOptions {
    Options() { weight_decay = 0.01; }
  };

  AdamW(const Options& options, const Context& context) : Optimizer(context), options_(options) {}

 protected:
  std::vector<std::string> slot_names() const override { return {"first", "second"}; }
  void update(size_t index, at::Tensor& value, const at::Tensor& gradient, double lr, int64_t step) override {
    if (decays(index, options_.no_decay)) value.mul_(1 - lr * options_.weight_decay);
    const auto& g = gradient;
    adam_move(options_, value, g, slot(index, "first"), slot(index, "second"), lr, step);
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Optimizer, gw::AdamW);
