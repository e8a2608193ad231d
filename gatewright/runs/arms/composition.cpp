#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/runs/composition_trials.h"
#include "gatewright/runs/measured_arm.h"

namespace gw::inline runs {
namespace {

/// A mixture whose experts are programs, any commands that answer questions line by line, each with a price:
/// composed by a two-step router under a budget, and measured beside every one of them and beside an oracle.
/// A part of the questions teaches the router, others score the experts, the rest is the test.
/// Leaves what gatewright/runs/composition_trials.h says.
/// Errors: ValueError for arms in "from", for experts, questions and budgets that do not fit.
/// Cost:   every expert answers every question; nothing is kept of an interrupted run.
class CompositionArm : public Arm {
 public:
  static constexpr const char* kSummary =
      "experts that are programs, behind a router by category and a budget";
  static constexpr const char* kSource =
      "Composition of Experts, arXiv 2412.01868; reconstructed from its abstract";
  struct Options : TrainConfig {
    Nested<CompositionTrialOptions> composition;
    void fields(OptionVisitor& v) override {
      TrainConfig::fields(v);
      v.table("composition", composition, "experts, questions, budget and router");
    }
  };

  CompositionArm(const Options& options, const Context&) : o_(options), how_(*options.composition) {}

  void validate(const std::vector<const Arm*>& from) const override {
    GW_CHECK(from.empty(), "arms/composition: expected no arms in \"from\" of arm \"{}\", got {}", o_.arm,
             from.size());
    std::vector<std::string> names;
    for (const auto& program : read_programs("composition.experts", how_.experts.json()))
      names.push_back(program.first);
    for (const auto& name : how_.swap) {
      GW_CHECK(std::find(names.begin(), names.end(), name) != names.end(),
               "arms/composition: unknown expert \"{}\" in swap of arm \"{}\"{}", name, o_.arm,
               near_miss(name, names));
    }
  }

  ArmResult run(const ArmRun& run, const std::vector<Artefact>&) const override {
    auto how = how_;
    return run_measured(measured_table(o_, "composition", how), run,
                        [&](ArmResult& result) { try_composition(how_, o_.arm, o_.seed, run, result); });
  }

  LeftNames leaves() const override { return composition_trial_names(); }

  ResultTable shown() const override {
    using Shown = ResultColumn::Shown;
    return {{{"composed %", "quality", Shown::kPercent},
             {"price", "price", Shown::kNumber, "{:.2f}"},
             {"best single %", "single.quality", Shown::kPercent},
             {"oracle %", "oracle.quality", Shown::kPercent},
             {"of its gain", "gain_share", Shown::kNumber, "{:.2f}"},
             {"category %", "category_accuracy", Shown::kPercent},
             {"outside %", "outside.quality", Shown::kPercent},
             {"forced %", "outside.forced", Shown::kPercent},
             {"after the swap %", "swap.quality", Shown::kPercent},
             {"failures", "failures", Shown::kNumber, "{:.0f}"},
             {"unanswered %", "unanswered", Shown::kPercent}},
            {},
            "single: the best expert within the budget, by hindsight; oracle: an upper bound, question by "
            "question."};
  }

 private:
  Options o_;
  CompositionTrialOptions how_;
};

}  // namespace
}  // namespace gw::inline runs

GW_REGISTER(gw::Arm, gw::CompositionArm);
