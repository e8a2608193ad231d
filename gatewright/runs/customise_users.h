#pragma once
// What customisation is worth to many users of one trained network.
#include "gatewright/data/users.h"
#include "gatewright/runs/arm.h"
#include "gatewright/train/customise.h"

namespace gw::inline runs {

/// The table `customisation` of an arm.
struct CustomisationOptions : OptionSet {
  std::string method = "gate";
  int64_t everybody = 2000, replay = 400, epochs = 10;
  double lr = 1e-3, held_out = 0.2;
  Nested<UserOptions> users;
  Nested<CustomiseOptions> fit;
  void fields(OptionVisitor& v) override;
};

/// Numbers of one user, each of which is a column of the table "users" and, as a mean over users, a metric:
/// user_global and user_accuracy (the network as it was, and with the method), user_gain, user_oracle (a gate
/// that knows who is right), generic_global, generic_accuracy, generic_drop, handed_user and handed_generic
/// (shares that the local expert answers), parameters_ratio (what a user adds or must keep, over the
/// network's), macs_ratio (of a user's image, the network included).
std::vector<std::string> customisation_metrics();

/// Customises the network of `source` for every user, as arms/customisation says.
struct Customisations {
  std::map<std::string, double> metrics;
  ValueTable users;
};
/// Errors: ValueError for data without images or too few of them, and for networks that customise.h refuses;
///         Interrupted.
Customisations customise_users(const CustomisationOptions& options, const std::string& arm, int64_t seed,
                               const Artefact& source, const ArmRun& run);

}  // namespace gw::inline runs
