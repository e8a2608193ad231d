#include <fmt/format.h>

#include "gatewright/base/check.h"
#include "gatewright/runs/customise_users.h"
#include "gatewright/runs/measured_arm.h"

namespace gw::inline runs {
namespace {

/// A trained network made the own of many users, each from a few images, and what it is then worth to them
/// and to everybody. Users draw from the test images of the network's data (gatewright/data/users.h); the
/// last `everybody` of a random order of these belong to nobody and stand for all others. Images of everybody
/// that a method may look at come from the network's validation images.
/// Methods: gate       a local expert and a gate beside the network (gatewright/train/customise.h)
///          local      that local expert answers everything: what the gate is for
///          fine_tune  all weights go on learning from the user's images, for `epochs`
///          prior      the user's class frequencies in place of even ones: log odds are shifted, nothing is
///                     learned
/// Leaves the table "users", as metrics the means over them (gatewright/runs/customise_users.h), and
/// parameters: what a user adds, or must keep.
/// Errors: ValueError for anything but one training of classes over images in "from", for a routed network
///         with methods gate and local, and for one without validation images.
/// Cost:   a pass of all images of each user; fine_tune: a training of each. Nothing is kept of an
///         interrupted run.
class CustomisationArm : public Arm {
 public:
  static constexpr const char* kSummary = "a trained network made the own of users with a few images each";
  static constexpr const char* kSource = "Zhang, Davoodi and Hu 2018, arXiv 1811.00056";
  /// What a training has is read and left aside, so that a recipe's defaults may stand.
  struct Options : TrainConfig {
    Nested<CustomisationOptions> customisation;
    void fields(OptionVisitor& v) override {
      TrainConfig::fields(v);
      v.table("customisation", customisation, "method, users, and what is learned for each");
    }
  };

  CustomisationArm(const Options& options, const Context&)
      : options_(options), how_(*options.customisation) {}

  void validate(const std::vector<const Arm*>& from) const override {
    GW_CHECK(from.size() == 1 && trains_classes(*from[0]),
             "arms/customisation: expected one training of classes for arm \"{}\" to start from, got {}",
             options_.arm, from.size() == 1 ? "another arm" : fmt::format("{} arms", from.size()));
  }

  ArmResult run(const ArmRun& run, const std::vector<Artefact>& from) const override {
    auto how = how_;
    auto table = measured_table(options_, "customisation", how);
    table["start"]["crc32c"] = start_checksum(from.at(0));
    return run_measured(table, run, [&](ArmResult& result) {
      auto measured = customise_users(how_, options_.arm, options_.seed, from[0], run);
      result.metrics = std::move(measured.metrics), result.tables["users"] = std::move(measured.users);
    });
  }

  LeftNames leaves() const override {
    auto names = customisation_metrics();
    names.emplace_back("parameters");
    return {names, {}, {"users"}};
  }

  ResultTable shown() const override {
    using Shown = ResultColumn::Shown;
    return {{{"user, before %", "user_global", Shown::kPercent},
             {"user, after %", "user_accuracy", Shown::kPercent},
             {"perfect gate %", "user_oracle", Shown::kPercent},
             {"everybody, before %", "generic_global", Shown::kPercent},
             {"everybody, after %", "generic_accuracy", Shown::kPercent},
             {"handed over %", "handed_user", Shown::kPercent},
             {"of everybody %", "handed_generic", Shown::kPercent},
             {"parameters / network", "parameters_ratio", Shown::kNumber, "{:.3f}"},
             {"multiply-adds / network", "macs_ratio", Shown::kNumber, "{:.3f}"}}};
  }

 private:
  Options options_;
  CustomisationOptions how_;
};

}  // namespace
}  // namespace gw::inline runs

GW_REGISTER(gw::Arm, gw::CustomisationArm);
