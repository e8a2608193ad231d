#include "gatewright/train/backdoor.h"

#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/train/area_under_curve.h"

namespace gw::inline train {

TensorSet mislabelled(const TensorSet& set, int64_t classes) {
  GW_CHECK(classes >= 2, "mislabelled: expected at least 2 classes, got {}", classes);
  auto out = set;
  out.fields["label"] = (set.at("label") + 1).remainder(classes);
  return out;
}

void BackdoorScore::fields(OptionVisitor& v) {
  v.real("factor", factor, "of the auxiliary network's probability over the expert's", 1e-3, 1e3);
  v.real("cap", cap, "the auxiliary network's probability from which its doubt counts no more", 1e-3, 1);
}

at::Tensor backdoor_score(const at::Tensor& expert, const at::Tensor& auxiliary, const BackdoorScore& how) {
  GW_CHECK(expert.dim() == 1 && auxiliary.sizes() == expert.sizes(),
           "backdoor_score: expected two probabilities [n] for each input, got {} and {}", expert.numel(),
           auxiliary.numel());
  constexpr double kLeast = 1e-8;
  const auto x = expert.to(at::kDouble), y = auxiliary.to(at::kDouble);
  return at::minimum(how.factor * y / x.clamp_min(kLeast), (1 - x) / (how.cap - y).clamp_min(kLeast));
}

double alert_threshold(const at::Tensor& clean_scores, double share) {
  const int64_t n = clean_scores.numel();
  const auto below = static_cast<int64_t>(std::floor(share * static_cast<double>(n) + 1e-9));
  GW_CHECK(clean_scores.dim() == 1 && below >= 1 && below < n,
           "alert_threshold: expected at least {} clean scores for a share of {:g} that may alert, got {}",
           std::ceil(1 / share), share, n);
  return std::get<0>(clean_scores.sort())[below].item<double>();
}

at::Tensor ScoredInputs::right() const { return predicted.eq(label); }

namespace {

double share_of(const at::Tensor& yes) { return yes.to(at::kDouble).mean().item<double>(); }

double area(const at::Tensor& clean, const at::Tensor& triggered) {
  const auto kind = at::cat({at::zeros_like(clean, at::kBool), at::ones_like(triggered, at::kBool)});
  return area_under_curve(-at::cat({clean, triggered}), kind);
}

}  // namespace

std::map<std::string, double> measure_filter(const ScoredInputs& clean, const ScoredInputs& triggered,
                                             double threshold) {
  const auto kept = clean.score.ge(threshold), let_in = triggered.score.ge(threshold);
  const auto right = clean.right(), success = triggered.right();
  std::map<std::string, double> out{
      {"clean_accuracy", share_of(right)},
      {"clean_accuracy_filtered", share_of(right.logical_and(kept))},
      {"attack_success", share_of(success)},
      {"attack_success_filtered", share_of(success.logical_and(let_in))},
      {"false_positives", share_of(kept.masked_select(right).logical_not())},
      {"true_positives", share_of(let_in.masked_select(success).logical_not())},
      {"auroc", area(clean.score, triggered.score)},
      {"auroc_successful", area(clean.score.masked_select(right), triggered.score.masked_select(success))}};
  std::erase_if(out, [](const auto& item) { return std::isnan(item.second); });
  return out;
}

}  // namespace gw::inline train
