#include "gatewright/base/registry.h"
#include "gatewright/likelihood/gate_form.h"

namespace gw::likelihood {
namespace {

/// softmax(b1·x + b0).
/// Source: Jacobs, Jordan, Nowlan, Hinton 1991, Adaptive Mixtures of Local Experts.
class Softmax : public GateForm {
 public:
  static constexpr const char* kSummary = "softmax over linear scores";
  static constexpr const char* kSource =
      "Jacobs, Jordan, Nowlan, Hinton 1991, Adaptive Mixtures of Local Experts";
  struct Options : OptionSet {
    void fields(OptionVisitor&) override {}
  };
  Softmax(const Options&, const Context&) {}
};

}  // namespace
}  // namespace gw::likelihood

GW_REGISTER(gw::likelihood::GateForm, likelihood::Softmax);
