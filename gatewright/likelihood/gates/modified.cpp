#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/likelihood/gate_form.h"

namespace gw::likelihood {
namespace {

/// softmax(b1·M(input_scale · x) + b0), M bounded, elementwise.
/// Source: Nguyen, Akbarian, Nguyen, Ho 2024, A General Theory for Softmax Gating Multinomial Logistic
/// Mixture
///         of Experts.
class Modified : public GateForm {
 public:
  static constexpr const char* kSummary =
      "softmax over linear scores of inputs that a bounded function transforms";
  static constexpr const char* kSource =
      "Nguyen, Akbarian, Nguyen, Ho 2024, A General Theory for Softmax Gating Multinomial Logistic Mixture "
      "of "
      "Experts";
  struct Options : OptionSet {
    void fields(OptionVisitor&) override {}
  };
  Modified(const Options&, const Context&) {}

  void check(const GateSpec& gate, int64_t) const override {
    GW_CHECK(gate.activation.bounded(),
             "fit: expected a bounded function (tanh, sigmoid, …) for the modified gate, got {}",
             name_of(gate.activation));
    GW_CHECK(std::isfinite(gate.input_scale) && gate.input_scale > 0,
             "fit: expected a positive input_scale, got {}", gate.input_scale);
  }
  std::vector<std::string> options() const override { return {"activation", "input_scale"}; }
  bool transforms() const override { return true; }
  double transformed(const GateSpec& gate, double x) const override {
    return gate.activation.value(gate.input_scale * x);
  }
};

}  // namespace
}  // namespace gw::likelihood

GW_REGISTER(gw::likelihood::GateForm, likelihood::Modified);
