#pragma once
// Backdoors that poisoned training leaves in a classifier: finding inputs that carry the trigger.
#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "gatewright/base/options.h"
#include "gatewright/data/batch.h"

namespace gw::inline train {

/// Every label y as (y + 1) mod classes: wrong for each example, and the same wrong for each class.
/// Errors: ValueError without labels, and for fewer than 2 classes.
TensorSet mislabelled(const TensorSet& set, int64_t classes);

/// The two constants of the score below: 2 and 0.5 for ResNet-18 (2.5 and 0.4 for VGG, 5 and 0.2 for
/// MobileNet).
struct BackdoorScore : OptionSet {
  double factor = 2, cap = 0.5;
  void fields(OptionVisitor& v) override;
};

/// How little an input looks like one with a trigger, from the probabilities that two other networks give the
/// class c which the network in doubt answers.
/// Math:   x = softmax(B)_c of the backdoor expert, y = softmax(M')_c of the auxiliary network;
///         min(factor · y / max(x, 1e-8), (1 − x) / max(cap − y, 1e-8)). Low: only the backdoor says c.
/// Shapes: x, y [n] → [n] f64. Errors: ValueError for other shapes.
/// Source: Xie et al., ICLR 2024 (BaDExpert), as its published code has it for ResNet-18.
at::Tensor backdoor_score(const at::Tensor& expert, const at::Tensor& auxiliary, const BackdoorScore& how);

/// The largest threshold below which at most a share of clean scores [n] lies: floor(share · n) of them where
/// none are tied. An input alerts if its score is below. Errors: ValueError for fewer than 1 / share scores.
double alert_threshold(const at::Tensor& clean_scores, double share);

/// Inputs [n] with what the network in doubt answers. Of triggered inputs the label is the attacker's.
struct ScoredInputs {
  at::Tensor predicted, label;  ///< int64
  at::Tensor score;             ///< f64
  at::Tensor right() const;     ///< [n] bool
};

/// What filtering does: inputs that alert are answered by nobody.
///   clean_accuracy, clean_accuracy_filtered  of the clean inputs, alerts counting as wrong
///   attack_success, attack_success_filtered  share of triggered inputs that get the attacker's class
///   false_positives   share of clean, rightly answered inputs that alert
///   true_positives    share of triggered inputs with the attacker's class that alert
///   auroc             area of alerting over clean against triggered inputs, all of them
///   auroc_successful  the same of rightly answered clean against successfully triggered ones, which is what
///                     the published code prints
/// What is about an empty set is left out.
std::map<std::string, double> measure_filter(const ScoredInputs& clean, const ScoredInputs& triggered,
                                             double threshold);

}  // namespace gw::inline train
