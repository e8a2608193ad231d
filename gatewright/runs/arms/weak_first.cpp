#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/models/expert_use.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/frozen.h"
#include "gatewright/runs/measured_arm.h"
#include "gatewright/train/timing.h"

namespace gw::inline runs {
namespace {

/// All nodes of a set at once, and what a model says of them.
struct Asked {
  Batch batch;
  Output out;
  double macs = 0;
};

Batch whole_batch(const TensorSet& set) { return Loader(set, set.size(), {}, false, Rng(0)).get(0, 0); }

Output answer_of(Model& model, const Batch& batch) {
  Pass pass;
  pass.train = false, pass.rng = Rng(0);
  return model.answer(batch, pass);
}

/// The weight of the weak expert for each node [B].
at::Tensor confidence_of(const Output& out) {
  GW_ENSURE(out.use != nullptr && out.use->gates.size() == 1, "arms/weak_first: a model without a gate");
  return out.use->gates[0].weight.select(1, 0).contiguous();
}

/// A trained weak and strong expert of which the strong one is asked for few nodes: how much of the work, of
/// the time and of the accuracy is left.
/// Math:   for a share s the least confidence below which the strong expert is asked is the s-quantile of the
///         confidences on the validation nodes; the test nodes are answered at once, by the model with that
///         `sure`, and by the one that asks both experts for every node.
/// Leaves  "full_accuracy"; at `share` the metrics "asked" (of the test nodes), "accuracy", "cost" and
///         "time_ratio" (multiply-adds and median seconds over those of both experts for all); the curves
///         "accuracy" and "asked" over the cost, of every share.
/// Errors: ValueError for anything but one training of networks/mowst in "from", and without validation.
/// Source: Mowst (Zeng et al. 2024, arXiv 2311.05185) saves operations in this way; the trial is ours.
class WeakFirstArm : public Arm {
 public:
  static constexpr const char* kSummary =
      "a strong expert asked for few nodes of a graph: accuracy against operations and measured time";
  static constexpr const char* kSource = "arXiv 2311.05185";
  struct Asking : OptionSet {
    std::vector<double> shares = {0.02, 0.05, 0.1, 0.2, 0.5};
    double share = 0.05;
    void fields(OptionVisitor& v) override {
      v.reals("shares", shares, "of the validation nodes that the strong expert is asked for", 0, 1);
      v.real("share", share, "at which the clock is read", 0, 1);
    }
  };
  struct Options : TrainConfig {
    Nested<Asking> weak_first;
    void fields(OptionVisitor& v) override {
      TrainConfig::fields(v);
      v.table("weak_first", weak_first, "for how many nodes the strong expert is asked");
    }
  };

  WeakFirstArm(const Options& options, const Context&) : o_(options), how_(*options.weak_first) {}

  void validate(const std::vector<const Arm*>& from) const override {
    GW_CHECK(from.size() == 1 && trains_classes(*from[0]),
             "arms/weak_first: expected one training of networks/mowst in \"from\" of arm \"{}\", got {} "
             "arms or something else",
             o_.arm, from.size());
  }

  ArmResult run(const ArmRun& run, const std::vector<Artefact>& from) const override {
    auto how = how_;
    auto table = measured_table(o_, "weak_first", how);
    table["start"]["crc32c"] = start_checksum(from.at(0));
    return run_measured(table, run, [&](ArmResult& result) { measure(from[0], run, result); });
  }

  LeftNames leaves() const override {
    return {{"full_accuracy", "accuracy", "asked", "cost", "time_ratio"}, {"accuracy", "asked"}, {}};
  }

  ResultTable shown() const override {
    constexpr auto kPercent = ResultColumn::Shown::kPercent, kNumber = ResultColumn::Shown::kNumber;
    return {{{"both %", "full_accuracy", kPercent},
             {"asked %", "asked", kPercent},
             {"accuracy %", "accuracy", kPercent},
             {"cost", "cost", kNumber, "{:.2f}"},
             {"time", "time_ratio", kNumber, "{:.2f}"}},
            {},
            "cost, time: over those of both experts for every node."};
  }

 private:
  /// The trained model with another `sure`, which no weight depends on.
  static std::shared_ptr<Model> with_sure(const Trainer& trained, const Artefact& source, double sure) {
    auto config = trained.config();
    auto network = config.network.json();
    network["sure"] = sure;
    config.network = network;
    auto model = make_model(config, trained.data(), *make_task(config));
    const auto path = source.directory + "/" + kBestCheckpoint;
    load_model(*model, load_checkpoint(path), path);
    model->eval();
    return model;
  }

  static Asked asked(Model& model, const TensorSet& set) {
    Asked out{whole_batch(set), {}, 0};
    const ops::CostRecorder recorder;
    out.out = answer_of(model, out.batch);
    out.macs = static_cast<double>(recorder.macs());
    return out;
  }

  void measure(const Artefact& source, const ArmRun& run, ArmResult& result) const {
    const at::NoGradGuard no_grad;
    const auto trained = open_trained(source);
    GW_CHECK(trained->validation().size() > 0,
             "arms/weak_first: expected validation nodes in the training of arm \"{}\", got none; set "
             "validation there",
             source.arm);
    const auto part = trained->config().network.json().value("part", std::string("image"));
    GW_CHECK(part == "mowst", "arms/weak_first: expected networks/mowst in arm \"{}\", got {}", source.arm,
             part);
    const auto both = with_sure(*trained, source, 1);
    const auto sorted =
        std::get<0>(confidence_of(asked(*both, trained->validation()).out).to(at::kDouble).sort());
    const auto& test = trained->data().test;
    const auto whole = asked(*both, test);
    result.metrics["full_accuracy"] = share_right(whole.out.answer, test.at("label"));
    Curve accuracy{"cost", {}, {}}, share{"cost", {}, {}};
    auto shares = how_.shares;
    std::sort(shares.begin(), shares.end());
    shares.push_back(how_.share);  // last, so that its numbers stay
    for (size_t i = 0; i < shares.size(); ++i) {
      stopping(run, "asking the strong expert")(0, 0);
      const auto place =
          std::min(static_cast<int64_t>(shares[i] * static_cast<double>(sorted.numel())), sorted.numel() - 1);
      const auto few = with_sure(*trained, source, std::min(sorted[place].item<double>(), 1.0));
      const auto told = asked(*few, test);
      auto& m = result.metrics;
      m["accuracy"] = share_right(told.out.answer, test.at("label"));
      m["asked"] = confidence_of(told.out).lt(1).to(at::kDouble).mean().item<double>();
      m["cost"] = told.macs / whole.macs;
      const bool last = i + 1 == shares.size();
      if (!last) accuracy.x.push_back(m["cost"]), accuracy.y.push_back(m["accuracy"]);
      if (!last) share.x.push_back(m["cost"]), share.y.push_back(m["asked"]);
      if (last && run.now_s && run.timing_rounds > 0)
        m["time_ratio"] = time_ratio(*few, *both, told.batch, run);
    }
    result.curves["accuracy"] = accuracy, result.curves["asked"] = share;
  }

  static double time_ratio(Model& few, Model& both, const Batch& batch, const ArmRun& run) {
    const auto alone = run.alone ? run.alone() : nullptr;
    const ops::FrozenParameters constant;
    const auto times = time_in_turns([&](int64_t) { answer_of(few, batch); },
                                     [&](int64_t) { answer_of(both, batch); }, run.timing_rounds, run.now_s);
    return median_of(times.first) / median_of(times.second);
  }

  Options o_;
  Asking how_;
};

}  // namespace
}  // namespace gw::inline runs

GW_REGISTER(gw::Arm, gw::WeakFirstArm);
