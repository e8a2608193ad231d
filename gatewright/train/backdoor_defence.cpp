#include "gatewright/train/backdoor_defence.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/train/answers.h"

namespace gw::inline train {
namespace {

at::Tensor slice_of(const std::vector<int64_t>& order, int64_t first, int64_t count) {
  return at::tensor(at::ArrayRef<int64_t>(order.data() + first, static_cast<size_t>(count)), at::kLong);
}

/// The probability [n] f64 that answers give to classes [n].
at::Tensor probability_of(const at::Tensor& answers, const at::Tensor& classes) {
  return at::softmax(answers.to(at::kDouble), 1).gather(1, classes.unsqueeze(1)).squeeze(1);
}

/// The area of alerting where one network's probability of the doubted class is high (sign −1) or low (1).
double area_alone(Model& model, double sign, const DefenceSets& sets, ScoredInputs clean,
                  ScoredInputs triggered, const Tick& tick) {
  clean.score = sign * probability_of(answers_to(model, sets.clean, tick), clean.predicted);
  triggered.score = sign * probability_of(answers_to(model, sets.triggered, tick), triggered.predicted);
  return measure_filter(clean, triggered, 0).at("auroc");
}

}  // namespace

DefenceSets split_for_defence(const TensorSet& test, const TensorSet& probe, int64_t own, int64_t calibration,
                              const Rng& rng) {
  const int64_t all = test.size(), left = all - own - calibration;
  GW_CHECK(left >= 1,
           "backdoor defence: expected test images left to measure on after {} clean ones and {} for "
           "calibration, got {} in all; lower those numbers",
           own, calibration, all);
  const auto order = rng.permutation(all);
  const auto measured = slice_of(order, own + calibration, left);
  const auto among = at::zeros({all}, at::kBool).index_fill_(0, measured, true);
  const auto triggered = among.index_select(0, probe.at("source")).nonzero().flatten();
  GW_CHECK(triggered.numel() >= 1,
           "backdoor defence: expected triggered forms of the {} test images to measure on, got none", left);
  return {test.rows(slice_of(order, 0, own)), test.rows(slice_of(order, own, calibration)),
          test.rows(measured), probe.rows(triggered)};
}

ScoredInputs scored_inputs(const DefenceNetworks& networks, const TensorSet& set, const BackdoorScore& how,
                           const Tick& tick) {
  const auto predicted = answers_to(networks.doubted, set, tick).argmax(1);
  const auto x = probability_of(answers_to(networks.expert, set, tick), predicted);
  const auto y = probability_of(answers_to(networks.auxiliary, set, tick), predicted);
  return {predicted, set.at("label"), backdoor_score(x, y, how)};
}

double accuracy_on(Model& model, const TensorSet& set) {
  return share_right(answers_to(model, set), set.at("label"));
}

std::map<std::string, double> measure_defence(const DefenceNetworks& networks, const DefenceSets& sets,
                                              const BackdoorScore& how, double false_positives,
                                              const Tick& tick) {
  const auto calibration = scored_inputs(networks, sets.calibration, how, tick);
  const double threshold =
      alert_threshold(calibration.score.masked_select(calibration.right()), false_positives);
  const auto clean = scored_inputs(networks, sets.clean, how, tick),
             triggered = scored_inputs(networks, sets.triggered, how, tick);
  auto metrics = measure_filter(clean, triggered, threshold);
  metrics["auroc_expert"] = area_alone(networks.expert, -1, sets, clean, triggered, tick);
  metrics["auroc_auxiliary"] = area_alone(networks.auxiliary, 1, sets, clean, triggered, tick);
  metrics["expert_clean_accuracy"] = accuracy_on(networks.expert, sets.clean);
  metrics["expert_attack_success"] = accuracy_on(networks.expert, sets.triggered);
  metrics["auxiliary_clean_accuracy"] = accuracy_on(networks.auxiliary, sets.clean);
  metrics["auxiliary_attack_success"] = accuracy_on(networks.auxiliary, sets.triggered);
  return metrics;
}

}  // namespace gw::inline train
