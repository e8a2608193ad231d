#pragma once
// A defence by two copies of a network in doubt, and what it is worth.
#include "gatewright/train/backdoor.h"
#include "gatewright/train/task.h"

namespace gw::inline train {

/// The test images in three parts that share none, and the triggered forms of the third.
struct DefenceSets {
  TensorSet own, calibration, clean, triggered;
};
/// Draws `own` test images to make networks with and `calibration` others to set a threshold; the rest is
/// measured, with the images of the probe "attack_success" that were made of them.
/// Errors: ValueError where nothing is left to measure.
DefenceSets split_for_defence(const TensorSet& test, const TensorSet& probe, int64_t own, int64_t calibration,
                              const Rng& rng);

/// The network in doubt, its backdoor expert and its auxiliary network.
struct DefenceNetworks {
  Model &doubted, &expert, &auxiliary;
};

double accuracy_on(Model& model, const TensorSet& set);

/// measure_filter at the threshold that the rightly answered calibration images set for a share of false
/// positives; and the area of alerting by the expert's or the auxiliary network's probability alone
/// ("auroc_expert", "auroc_auxiliary"), accuracy and attack success of both ("expert_clean_accuracy" …).
std::map<std::string, double> measure_defence(const DefenceNetworks& networks, const DefenceSets& sets,
                                              const BackdoorScore& how, double false_positives,
                                              const Tick& tick = {});

}  // namespace gw::inline train
