#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/train/optimizer.h"

namespace gw::inline train {
namespace {

/// Stochastic gradient descent with momentum.
/// Math:   g' = g + wd·θ; b ← μ·b + g' (b ← g' at the first step); θ ← θ − lr·(b, or g' + μ·b with Nesterov).
/// Source: Sutskever et al. 2013; the momentum form that PyTorch uses.
class Sgd : public Optimizer {
 public:
  static constexpr const char* kSummary = "stochastic gradient descent with momentum and weight decay";
  static constexpr const char* kSource = "Sutskever et al. 2013";
  struct Options : OptionSet {
    double momentum = 0.9, weight_decay = 5e-4;
    bool nesterov = false;
    std::vector<std::string> no_decay;
    void fields(OptionVisitor& v) override {
      v.real("momentum", momentum, "share of the last update that is kept", 0, 1);
      v.real("weight_decay", weight_decay, "L2 penalty added to the gradient", 0, 1e3);
      v.flag("nesterov", nesterov, "look ahead by one momentum step");
      v.texts("no_decay", no_decay,
              "parts of parameter names that are not decayed, such as \"norm\" or \"bias\"");
    }
  };

  Sgd(const Options& options, const Context& context) : Optimizer(context), options_(options) {}

 protected:
  std::vector<std::string> slot_names() const override {
    return options_.momentum > 0 ? std::vector<std::string>{"momentum"} : std::vector<std::string>{};
  }
  void update(size_t index, at::Tensor& value, const at::Tensor& gradient, double lr, int64_t) override {
    auto g = gradient;
    if (options_.weight_decay > 0 && decays(index, options_.no_decay))
      g = g.add(value, options_.weight_decay);
    if (options_.momentum > 0) {
      auto& buffer = slot(index, "momentum");
      buffer.mul_(options_.momentum).add_(g);
      g = options_.nesterov ? g.add(buffer, options_.momentum) : buffer;
    }
    value.add_(g, -lr);
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Optimizer, gw::Sgd);
