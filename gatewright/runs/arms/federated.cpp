#include "gatewright/base/check.h"
#include "gatewright/runs/federate.h"
#include "gatewright/runs/measured_arm.h"

namespace gw::inline runs {
namespace {

/// Experts trained over clients, each of which gets and trains those that a gate chooses for its images, and
/// given at once to clients that nobody has seen; or one model for all (FedAvg).
/// Leaves what gatewright/runs/federate.h says.
/// Errors: ValueError for anything but one training of classes over images in "from".
/// Cost:   nothing is kept of an interrupted run.
class FederatedArm : public Arm {
 public:
  static constexpr const char* kSummary =
      "rounds over clients on this machine: experts chosen for each by a gate";
  static constexpr const char* kSource =
      "FedJETs, arXiv 2306.08586; reconstructed from its abstract and reviews of it";
  struct Options : TrainConfig {
    Nested<FederatedTrialOptions> federated;
    void fields(OptionVisitor& v) override {
      TrainConfig::fields(v);
      v.table("federated", federated, "clients, experts, rounds and who hosts them");
    }
  };

  FederatedArm(const Options& options, const Context&) : o_(options), how_(*options.federated) {}

  void validate(const std::vector<const Arm*>& from) const override {
    GW_CHECK(
        from.size() == 1 && trains_classes(*from[0]),
        "arms/federated: expected one training of classes, the common expert, for arm \"{}\" to start from, "
        "got {}",
        o_.arm, from.size() == 1 ? "another arm" : fmt::format("{} arms", from.size()));
    GW_CHECK(how_.k <= how_.experts || !how_.gated(),
             "arms/federated: expected k of at most {} experts, got {}", how_.experts, how_.k);
  }

  ArmResult run(const ArmRun& run, const std::vector<Artefact>& from) const override {
    auto how = how_;
    auto table = o_.document();
    table["federated"] = write_options(how);
    // Who hosts the clients changes no bit.
    for (const char* host : {"run_as", "hosts", "timeout"}) table["federated"].erase(host);
    leave_out_defaults(table["federated"]);
    table["start"]["crc32c"] = start_checksum(from.at(0));
    return run_measured(table, run, [&](ArmResult& result) { federate(o_, how_, from[0], run, result); });
  }

  LeftNames leaves() const override { return federated_names(); }

  ResultTable shown() const override {
    using Shown = ResultColumn::Shown;
    return {{{"unseen clients %", "unseen.accuracy", Shown::kPercent},
             {"common expert %", "common.accuracy", Shown::kPercent},
             {"best expert each %", "unseen.perfect", Shown::kPercent},
             {"all test images %", "everybody.accuracy", Shown::kPercent},
             {"bytes down", "bytes_down", Shown::kNumber, "{:.4g}"},
             {"of all experts", "bytes_share", Shown::kNumber, "{:.2f}"},
             {"refused", "refused", Shown::kNumber, "{:.0f}"},
             {"lost", "lost", Shown::kNumber, "{:.0f}"}}};
  }

 private:
  /// Options that came later: runs from before them are still those of their recipes.
  static void leave_out_defaults(Json& table) {
    FederatedTrialOptions plain;
    const auto defaults = write_options(plain);
    for (const char* later : {"rule", "clip", "trim", "liars", "lie"})
      if (table.at(later) == defaults.at(later)) table.erase(later);
  }

  Options o_;
  FederatedTrialOptions how_;
};

}  // namespace
}  // namespace gw::inline runs

GW_REGISTER(gw::Arm, gw::FederatedArm);
