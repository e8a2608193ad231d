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

/// What the three networks answer to a set.
struct DefenceAnswers {
  at::Tensor predicted;          ///< [n] the class of the network in doubt
  at::Tensor expert, auxiliary;  ///< [n, classes]
};

DefenceAnswers answers_of(const DefenceNetworks& networks, const TensorSet& set, const Tick& tick) {
  return {answers_to(networks.doubted, set, tick).argmax(1), answers_to(networks.expert, set, tick),
          answers_to(networks.auxiliary, set, tick)};
}

/// Scores of a set's examples by backdoor_score, of the class that the network in doubt gives them.
ScoredInputs scored(const DefenceAnswers& given, const TensorSet& set, const BackdoorScore& how) {
  const auto x = probability_of(given.expert, given.predicted),
             y = probability_of(given.auxiliary, given.predicted);
  return {given.predicted, set.at("label"), backdoor_score(x, y, how)};
}

/// The area of alerting where one network's probability of the doubted class is high (sign −1) or low (1).
double area_alone(double sign, const at::Tensor& on_clean, const at::Tensor& on_triggered, ScoredInputs clean,
                  ScoredInputs triggered) {
  clean.score = sign * probability_of(on_clean, clean.predicted);
  triggered.score = sign * probability_of(on_triggered, triggered.predicted);
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

double accuracy_on(Model& model, const TensorSet& set) {
  return share_right(answers_to(model, set), set.at("label"));
}

std::map<std::string, double> measure_defence(const DefenceNetworks& networks, const DefenceSets& sets,
                                              const BackdoorScore& how, double false_positives,
                                              const Tick& tick) {
  const auto calibration = scored(answers_of(networks, sets.calibration, tick), sets.calibration, how);
  const double threshold =
      alert_threshold(calibration.score.masked_select(calibration.right()), false_positives);
  const auto on_clean = answers_of(networks, sets.clean, tick),
             on_triggered = answers_of(networks, sets.triggered, tick);
  const auto clean = scored(on_clean, sets.clean, how), triggered = scored(on_triggered, sets.triggered, how);
  auto metrics = measure_filter(clean, triggered, threshold);
  metrics["auroc_expert"] = area_alone(-1, on_clean.expert, on_triggered.expert, clean, triggered);
  metrics["auroc_auxiliary"] = area_alone(1, on_clean.auxiliary, on_triggered.auxiliary, clean, triggered);
  metrics["expert_clean_accuracy"] = share_right(on_clean.expert, sets.clean.at("label"));
  metrics["expert_attack_success"] = share_right(on_triggered.expert, sets.triggered.at("label"));
  metrics["auxiliary_clean_accuracy"] = share_right(on_clean.auxiliary, sets.clean.at("label"));
  metrics["auxiliary_attack_success"] = share_right(on_triggered.auxiliary, sets.triggered.at("label"));
  return metrics;
}

}  // namespace gw::inline train
