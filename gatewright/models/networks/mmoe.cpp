#include "gatewright/base/registry.h"
#include "gatewright/models/multi_gate.h"

namespace gw::inline models {
namespace {

/// Experts that all tasks share, and a gate for each task.
/// Math:   y_t = tower_t(Σ_e softmax(x G_t)_e E_e(x)).
/// Shapes: x [B, D] → [B, Σ widths].
/// Source: Ma et al. 2018, "Modeling task relationships in multi-task learning with multi-gate
///         mixture-of-experts".
class Mmoe : public MultiGateModel {
 public:
  static constexpr const char* kSummary =
      "several answers of a row: experts that all share, a gate for each answer";
  static constexpr const char* kSource = "Ma et al. 2018";
  struct Options : MultiGateOptions {
    int64_t experts = 8;
    bool norm = false;
    void fields(OptionVisitor& v) override {
      MultiGateOptions::fields(v);
      v.integer("experts", experts, "experts that all gates see", 1, 4096);
      v.flag("norm", norm, "normalise each expert over the batch, before its last activation");
    }
  };

  Mmoe(const Options& options, const Context& context)
      : MultiGateModel("mmoe", context, options, form_of(options), wiring(options, context)) {}

 private:
  static ExpertForm form_of(const Options& options) {
    ExpertForm form;
    form.norm = options.norm;
    return form;
  }
  static Wiring wiring(const Options& options, const Context& context) {
    Wiring::Level level{{{"shared", options.experts}}, {}};
    for (const auto& part : parts_of("mmoe", context)) level.gates.push_back({part, {0}});
    return {{level}};
  }
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::Mmoe);
