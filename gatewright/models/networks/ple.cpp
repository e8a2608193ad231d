#include "gatewright/base/registry.h"
#include "gatewright/models/multi_gate.h"

namespace gw::inline models {
namespace {

/// Shared experts and experts of each task, in levels: progressive layered extraction; with one level,
/// customised gate control (CGC).
/// Math:   in every level the gate of task t sees the shared experts and its own; below the last level a
/// shared
///         gate sees all. A task's experts read what its gate gave on the level below, shared experts what
///         the shared gate gave.
/// Shapes: x [B, D] → [B, Σ widths].
/// Source: Tang et al. 2020, "Progressive layered extraction (PLE)".
class Ple : public MultiGateModel {
 public:
  static constexpr const char* kSummary =
      "several answers of a row: shared experts and each answer's own, in levels (one level: CGC)";
  static constexpr const char* kSource = "Tang et al. 2020";
  struct Options : MultiGateOptions {
    int64_t shared = 2, own = 1, levels = 2;
    bool norm = false;
    void fields(OptionVisitor& v) override {
      MultiGateOptions::fields(v);
      v.integer("shared", shared, "experts of each level that all gates see", 1, 4096);
      v.integer("own", own, "experts of each level for each answer alone", 1, 4096);
      v.integer("levels", levels, "levels; 1: CGC", 1, 64);
      v.flag("norm", norm, "normalise each expert over the batch, before its last activation");
    }
  };

  Ple(const Options& options, const Context& context)
      : MultiGateModel("ple", context, options, form_of(options), wiring(options, context)) {}

 private:
  static ExpertForm form_of(const Options& options) {
    ExpertForm form;
    form.norm = options.norm;
    return form;
  }
  static Wiring wiring(const Options& options, const Context& context) {
    const auto parts = parts_of("ple", context);
    const auto tasks = static_cast<int64_t>(parts.size());
    Wiring out;
    for (int64_t l = 0; l < options.levels; ++l) {
      const auto read = [&](int64_t gate) {
        return l == 0 ? std::vector<int64_t>{} : std::vector<int64_t>{gate};
      };
      Wiring::Level level{{{"shared", options.shared, read(tasks)}}, {}};
      std::vector<int64_t> all{0};
      for (int64_t t = 0; t < tasks; ++t) {
        level.sets.push_back({parts[static_cast<size_t>(t)], options.own, read(t)});
        level.gates.push_back({parts[static_cast<size_t>(t)], {0, t + 1}, read(t)});
        all.push_back(t + 1);
      }
      if (l + 1 < options.levels) level.gates.push_back({"shared", all, read(tasks)});
      out.levels.push_back(std::move(level));
    }
    return out;
  }
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::Ple);
