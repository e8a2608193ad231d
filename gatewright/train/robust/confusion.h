#pragma once
#include "gatewright/data/dataset.h"
#include "gatewright/models/network.h"
#include "gatewright/train/task.h"

namespace gw::inline train {

/// How often images of each label are told as each label while one attack is at work.
/// Shapes: → [classes, classes] f64, rows the true labels, columns the answers, counts of images.
/// `attack`: {part = "pgd", steps = 10}, a part of the attacks catalogue. Deterministic given (network,
/// images, rng); the network is left in evaluation mode.
/// Errors: ValueError for an unknown attack or option, and for an attack that the network cannot stand.
/// Cost:   the attack's, on every image of the set.
at::Tensor attacked_confusion(Network& network, const TensorSet& set, const PartChoice& attack,
                              double epsilon, const Rng& rng, const Tick& tick = {});

}  // namespace gw::inline train
