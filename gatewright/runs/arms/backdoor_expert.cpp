#include <ATen/ATen.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/data/patch_trigger.h"
#include "gatewright/runs/measured_arm.h"
#include "gatewright/train/backdoor_defence.h"
#include "gatewright/train/fine_tune.h"
#include "gatewright/train/prepared_data.h"

namespace gw::inline runs {
namespace {

constexpr int64_t kWatched = 500;  // triggered images that are looked at while the expert unlearns

Nested<FineTune> tuned(const char* optimizer, double lr, int64_t epochs, int64_t batch) {
  return Json{{"optimizer", {{"part", optimizer}}},
              {"schedule", {{"shape", "constant"}, {"lr", lr}}},
              {"epochs", epochs},
              {"batch", batch}};
}

/// Finds inputs that carry the trigger of a poisoned training (`from`) by two networks made of it:
///   the backdoor expert    fine-tuned on clean images with wrong labels (y + 1 mod C), which unlearns what
///                          the images mean and, stopped in time, keeps what the trigger means;
///   the auxiliary network  fine-tuned on the same images with their labels, which unlearns the trigger.
/// An image alerts if the class that the network in doubt gives it is the expert's and not the auxiliary's
/// (backdoor_score of gatewright/train/backdoor.h), the threshold at a share of false positives.
/// The clean images are test images, drawn by the seed: `clean` of them train both networks, `calibration`
/// others set the threshold (rightly answered ones count), the rest is measured.
/// Leaves the metrics of measure_filter, the same area for each of the two networks alone (auroc_expert,
/// auroc_auxiliary), expert_steps, accuracy and attack success of both, and the curves
/// "unlearning.clean_accuracy" (of the clean images) and "unlearning.attack_success" over the expert's steps.
/// Source: Xie et al., ICLR 2024 (BaDExpert); differs: the published code sets the threshold on the images
///         that it then measures, stops the expert by those too, and looks once an epoch; here neither, and
///         every check_steps.
/// Errors: ValueError for anything but one training of classes on poisoned data to start from, and for too
///         few test images.
/// Cost:   the two fine-tunings, and three passes over the test images; nothing is kept of an interrupted
///         run.
class BackdoorExpertArm : public Arm {
 public:
  static constexpr const char* kSummary = "finds triggered inputs of a poisoned training by two copies of it";
  static constexpr const char* kSource = "Xie et al., ICLR 2024 (BaDExpert)";
  struct Extraction : OptionSet {
    int64_t clean = 1000, calibration = 1000, check_steps = 2;
    double false_positives = 0.01, stop = 0.2;
    Nested<FineTune> unlearn = tuned("adam", 1e-4, 20, 128), recover = tuned("sgd", 0.01, 10, 64);
    Nested<BackdoorScore> score;
    void fields(OptionVisitor& v) override {
      v.integer("clean", clean, "test images that the two networks are made with", 2, INT64_MAX);
      v.integer("calibration", calibration, "test images that set the threshold", 1, INT64_MAX);
      v.real("false_positives", false_positives, "share of clean images that may alert", 1e-6, 0.5);
      v.real("stop", stop, "accuracy on the clean images below which the expert has unlearned enough", 0, 1);
      v.integer("check_steps", check_steps, "steps of the expert between two looks at that", 1, 1 << 20);
      v.table("unlearn", unlearn, "fine-tuning of the expert, at most");
      v.table("recover", recover, "fine-tuning of the auxiliary network");
      v.table("score", score, "constants of the score");
    }
  };
  /// What a training has is read and left aside, so that a recipe's defaults may stand.
  struct Options : TrainConfig {
    Nested<Extraction> backdoor_expert;
    void fields(OptionVisitor& v) override {
      TrainConfig::fields(v);
      v.table("backdoor_expert", backdoor_expert, "the clean images, the two networks and the threshold");
    }
  };

  BackdoorExpertArm(const Options& options, const Context&)
      : options_(options), how_(*options.backdoor_expert) {}

  void validate(const std::vector<const Arm*>& from) const override {
    GW_CHECK(from.size() == 1,
             "arms/backdoor_expert: expected one training for arm \"{}\" to start from, got {} arms; set "
             "\"from\"",
             options_.arm, from.size());
    GW_CHECK(trains(*from[0]) && leaves_metric(*from[0], kAttackSuccess),
             "arms/backdoor_expert: expected a training on poisoned data for arm \"{}\" to start from, got "
             "another arm; give its data transforms = [\"patch_poison\"]",
             options_.arm);
    for (const auto* tuning : {&how_.unlearn, &how_.recover})
      make_chosen<Optimizer>((*tuning)->optimizer, {});
  }

  ArmResult run(const ArmRun& run, const std::vector<Artefact>& from) const override {
    auto how = how_;
    auto table = measured_table(options_, "backdoor_expert", how);
    table["start"]["crc32c"] = start_checksum(from.at(0));
    return run_measured(table, run, [&](ArmResult& result) { measure(from[0], run, result); });
  }

  LeftNames leaves() const override {
    return {{"clean_accuracy", "clean_accuracy_filtered", "attack_success", "attack_success_filtered",
             "false_positives", "true_positives", "auroc", "auroc_successful", "auroc_expert",
             "auroc_auxiliary", "expert_steps", "expert_clean_accuracy", "expert_attack_success",
             "auxiliary_clean_accuracy", "auxiliary_attack_success"},
            {"unlearning.clean_accuracy", "unlearning.attack_success"},
            {}};
  }

  ResultTable shown() const override {
    using Shown = ResultColumn::Shown;
    return {{{"clean %", "clean_accuracy", Shown::kPercent},
             {"filtered %", "clean_accuracy_filtered", Shown::kPercent},
             {"attack success %", "attack_success", Shown::kPercent},
             {"filtered %", "attack_success_filtered", Shown::kPercent},
             {"area", "auroc", Shown::kNumber, "{:.4f}"},
             {"false positives %", "false_positives", Shown::kPercent},
             {"expert: clean %", "expert_clean_accuracy", Shown::kPercent},
             {"attack success %", "expert_attack_success", Shown::kPercent},
             {"auxiliary: clean %", "auxiliary_clean_accuracy", Shown::kPercent},
             {"attack success %", "auxiliary_attack_success", Shown::kPercent}}};
  }

 private:
  void measure(const Artefact& source, const ArmRun& run, ArmResult& result) const {
    const Rng rng = Rng(static_cast<uint64_t>(options_.seed)).fork("arms/backdoor_expert");
    const auto doubted = open_trained(source);
    const auto expert = trained_model(source, doubted->data()),
               auxiliary = trained_model(source, doubted->data());
    const auto& test = doubted->data().test;
    const auto probe = probes_of(doubted->config(), test).at(kAttackSuccess);
    const auto sets = split_for_defence(test, probe, how_.clean, how_.calibration, rng.fork("split"));
    const auto tick = stopping(run, "fine-tuning");
    const auto steps = unlearn(*doubted, *expert, sets, rng.fork("unlearn"), tick, result);
    fine_tune(*auxiliary, doubted->task(), sets.own, *how_.recover, rng.fork("recover"),
              [&](int64_t step) { return tick(step, 0), true; });
    const DefenceNetworks networks{doubted->model(), *expert, *auxiliary};
    result.metrics = measure_defence(networks, sets, *how_.score, how_.false_positives, tick);
    result.metrics["expert_steps"] = static_cast<double>(steps);
  }

  int64_t unlearn(const Trainer& doubted, Model& expert, const DefenceSets& sets, const Rng& rng,
                  const Tick& tick, ArmResult& result) const {
    auto &clean = result.curves["unlearning.clean_accuracy"],
         &attacked = result.curves["unlearning.attack_success"];
    clean.axis = attacked.axis = "step";
    const auto some = sets.triggered.first(kWatched);
    return fine_tune(expert, doubted.task(), mislabelled(sets.own, doubted.data().classes), *how_.unlearn,
                     rng, [&](int64_t step) {
                       tick(step, 0);
                       if (step % how_.check_steps != 0) return true;
                       for (auto* curve : {&clean, &attacked}) curve->x.push_back(static_cast<double>(step));
                       clean.y.push_back(accuracy_on(expert, sets.own));
                       attacked.y.push_back(accuracy_on(expert, some));
                       return clean.y.back() >= how_.stop;
                     });
  }

  Options options_;
  Extraction how_;
};

}  // namespace
}  // namespace gw::inline runs

GW_REGISTER(gw::Arm, gw::BackdoorExpertArm);
