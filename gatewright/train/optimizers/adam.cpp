#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/train/adam_moments.h"
#include "gatewright/train/optimizer.h"

namespace gw::inline train {
namespace {

/// Adam, weight decay added to the gradient.
/// Math:   g' = g + wd·θ; m ← β1·m + (1−β1)·g'; v ← β2·v + (1−β2)·g'²; θ ← θ − lr · m̂ / (√v̂ + ε).
/// Source: Kingma and Ba 2015, arXiv 1412.6980.
class Adam : public Optimizer {
 public:
  static constexpr const char* kSummary = "Adam, weight decay added to the gradient";
  static constexpr const char* kSource = "Kingma and Ba 2015, arXiv 1412.6980";
  struct Options : AdamOptions {
    Options() { weight_decay = 0; }
  };

  Adam(const Options& options, const Context& context) : Optimizer(context), options_(options) {}

 protected:
  std::vector<std::string> slot_names() const override { return {"first", "second"}; }
  void update(size_t index, at::Tensor& value, const at::Tensor& gradient, double lr, int64_t step) override {
    const bool decay = options_.weight_decay > 0 && decays(index, options_.no_decay);
    const auto g = decay ? gradient.add(value, options_.weight_decay) : gradient;
    adam_move(options_, value, g, slot(index, "first"), slot(index, "second"), lr, step);
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Optimizer, gw::Adam);
