#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/runs/measured_arm.h"
#include "gatewright/train/deferral_trials.h"

namespace gw::inline runs {
namespace {

/// The answers of a trained network to the test rows of its data, and what is true.
struct Answered {
  at::Tensor logits, label;
  Calibration all;
};

Answered answers_of(const Artefact& source, const std::string& score, const ArmRun& run) {
  const auto trained = open_trained(source);
  const auto& set = trained->data().test;
  Answered out{answers_to(trained->model(), set, stopping(run, "answering")), set.at("label"), {}};
  const auto sure = sureness(score, out.logits), wrong = out.logits.argmax(1).ne(out.label);
  for (int64_t i = 0; i < out.label.numel(); ++i)
    out.all.sure.push_back(sure[i].item<double>()), out.all.wrong.push_back(wrong[i].item<bool>());
  return out;
}

/// A trained classifier that keeps the inputs it is sure of, with a bound on their error, and hands the
/// others to an expert outside: the network of another arm, or one that is right with a given chance. The
/// test rows of the classifier's data, which nothing has looked at so far, are split as
/// gatewright/train/deferral_trials.h says.
/// Leaves the curve "accuracy" over the coverage (all test rows, without a threshold), its "aurc", and the
/// metrics of measure_deferral.
/// Errors: ValueError for anything but trainings of classes in "from", and for options out of range.
/// Cost:   nothing is kept of an interrupted run: it starts again.
class DeferralArm : public Arm {
 public:
  static constexpr const char* kSummary =
      "keeps sure inputs with a bound on their error, hands others to an expert";
  static constexpr const char* kSource = "";
  struct Deferring : OptionSet {
    std::string score = "max_probability", method = "selective", expert;
    double bound = 0.05, confidence = 0.9, held_out = 0.3, expert_accuracy = 0.97;
    int64_t thresholds = 100, trials = 200;
    void fields(OptionVisitor& v) override {
      v.text("score", score, "how sure the classifier is", sureness_names());
      v.text("method", method, "what the bound is about; none: no promise",
             {"selective", "expected", "none"});
      v.text("expert", expert,
             "the arm of \"from\" that answers what is handed over; empty: one of expert_accuracy");
      v.real("bound", bound, "on the error of what is kept", 1e-6, 0.999);
      v.real("confidence", confidence, "with which the bound holds, of method selective", 0.5, 0.999999);
      v.real("held_out", held_out, "share of the test rows that calibrates", 0.01, 0.8);
      v.real("expert_accuracy", expert_accuracy, "of an expert that is no arm", 0, 1);
      v.integer("thresholds", thresholds, "to try", 2, 100000);
      v.integer("trials", trials, "splits of the test rows", 1, 1000000);
    }
  };
  struct Options : TrainConfig {
    Nested<Deferring> deferral;
    void fields(OptionVisitor& v) override {
      TrainConfig::fields(v);
      v.table("deferral", deferral, "score, bound, confidence and expert");
    }
  };

  DeferralArm(const Options& options, const Context&) : options_(options), how_(*options.deferral) {}

  void validate(const std::vector<const Arm*>& from) const override {
    GW_CHECK(from.size() == (how_.expert.empty() ? 1 : 2),
             "arms/deferral: expected the classifier{} in \"from\" of arm \"{}\", got {} arms",
             how_.expert.empty() ? "" : " and then its expert", options_.arm, from.size());
    for (const auto* arm : from) {
      GW_CHECK(trains_classes(*arm),
               "arms/deferral: expected trainings of classes for arm \"{}\" to start from, got another arm",
               options_.arm);
    }
  }

  ArmResult run(const ArmRun& run, const std::vector<Artefact>& from) const override {
    auto how = how_;
    auto table = measured_table(options_, "deferral", how);
    for (const auto& source : from) table["start"][source.arm] = start_checksum(source);
    return run_measured(table, run, [&](ArmResult& result) { measure(run, from, result); });
  }

  LeftNames leaves() const override {
    return {{"model_accuracy", "aurc", "coverage", "kept_error", "let_through", "joint_accuracy",
             "expert_accuracy", "bound", "broken", "silent"},
            {"accuracy"},
            {}};
  }

  ResultTable shown() const override {
    using Shown = ResultColumn::Shown;
    return {{{"alone %", "model_accuracy", Shown::kPercent},
             {"kept %", "coverage", Shown::kPercent},
             {"error of the kept %", "kept_error", Shown::kPercent},
             {"bound %", "bound", Shown::kPercent},
             {"splits that break it %", "broken", Shown::kPercent},
             {"with the expert %", "joint_accuracy", Shown::kPercent}}};
  }

 private:
  Rng rng() const { return Rng(static_cast<uint64_t>(options_.seed)).fork("arms/deferral"); }

  void measure(const ArmRun& run, const std::vector<Artefact>& from, ArmResult& result) const {
    const auto model = answers_of(from.at(0), how_.score, run);
    const auto expert = expert_labels(model, from, run);
    const auto right = expert.eq(model.label);
    DeferralTrials trials{
        model.all,       {},         {how_.method, how_.bound, how_.confidence}, how_.held_out,
        how_.thresholds, how_.trials};
    for (int64_t i = 0; i < right.numel(); ++i) trials.expert_right.push_back(right[i].item<bool>());
    result.metrics = measure_deferral(trials, rng());
    const auto curve = coverage_curve(model.all);
    result.metrics["aurc"] = curve.area_of_risk;
    result.curves["accuracy"] = {"coverage", curve.coverage, curve.accuracy};
  }

  at::Tensor expert_labels(const Answered& model, const std::vector<Artefact>& from,
                           const ArmRun& run) const {
    if (!how_.expert.empty()) {
      const auto& source = from.at(from.at(0).arm == how_.expert ? 0 : 1);
      GW_CHECK(source.arm == how_.expert,
               "arms/deferral: expected the expert \"{}\" in \"from\", got {} and {}", how_.expert,
               from[0].arm, from[1].arm);
      const auto other = answers_of(source, how_.score, run);
      GW_CHECK(
          other.label.equal(model.label),
          "arms/deferral: expected the expert \"{}\" to be trained on the same data, got other test rows",
          how_.expert);
      return other.logits.argmax(1);
    }
    auto labels = model.label.clone();
    const int64_t classes = model.logits.size(1);
    for (int64_t i = 0; i < labels.numel(); ++i) {
      const auto draw = rng().fork("expert", static_cast<uint64_t>(i));
      if (draw.uniform(0) < how_.expert_accuracy) continue;
      const auto off = 1 + static_cast<int64_t>(draw.below(1, static_cast<uint64_t>(classes - 1)));
      labels[i] = (labels[i].item<int64_t>() + off) % classes;
    }
    return labels;
  }

  Options options_;
  Deferring how_;
};

}  // namespace
}  // namespace gw::inline runs

GW_REGISTER(gw::Arm, gw::DeferralArm);
