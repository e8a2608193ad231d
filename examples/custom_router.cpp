// A router of your own: tokens go to the expert whose learned prototype is nearest. One class, one
// registration; from then on recipes, options, errors and `gatewright list` know it like any built-in part.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include "gatewright/base/registry.h"
#include "gatewright/mixture/mixture.h"
#include "gatewright/ops/random.h"

namespace {

/// Math: s_te = −‖x_t − c_e‖² / temperature.
class PrototypeGate : public gw::Gate {
 public:
  static constexpr const char* kSummary = "negative squared distance to learned prototypes";
  static constexpr const char* kSource = "";
  struct Options : gw::OptionSet {
    double temperature = 1;
    void fields(gw::OptionVisitor& v) override {
      v.real("temperature", temperature, "divides the distances", 1e-6, 1e6);
    }
  };

  PrototypeGate(const Options& options, const Context& context) : temperature_(options.temperature) {
    prototypes_ = register_parameter(
        "prototypes", gw::ops::normal(gw::Rng(context.seed), {context.experts, context.width}, 0, 1));
  }

  at::Tensor forward(const at::Tensor& x) override {
    return (x.unsqueeze(1) - prototypes_.unsqueeze(0)).square().sum(2).neg() / temperature_;
  }

 private:
  double temperature_;
  at::Tensor prototypes_;
};

const bool registered = gw::register_part<gw::Gate, PrototypeGate>("custom_router/prototype.cpp");

}  // namespace

int main() {
  auto layer = gw::Mixture::from_json({{"in", 4},
                                       {"experts", 3},
                                       {"gate", {{"part", "prototype"}, {"temperature", 0.5}}},
                                       {"policy", {{"part", "softmax_top_k"}, {"k", 1}}}});
  const auto x = gw::ops::normal(gw::Rng(1), {12, 4}, 0, 1);
  const auto out = layer->forward(x);
  for (int64_t e = 0; e < 3; ++e) fmt::print("expert {}: {} tokens\n", e, out.plan.rows_of(e));

  try {  // the option is checked and a near miss is named
    gw::Mixture::from_json({{"in", 4}, {"gate", {{"part", "prototype"}, {"temprature", 1.0}}}});
  } catch (const gw::ValueError& error) {
    fmt::print("{}\n", error.what());
    return registered && out.y.isfinite().all().item<bool>() ? 0 : 1;
  }
  return 1;
}
