#include "gatewright/train/robust_mean.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "gatewright/base/check.h"

namespace gw::inline train {
namespace {

/// Σ n f v / Σ n in double precision, in the order in which they came.
at::Tensor weighed(const std::vector<SentVector>& sent, const std::vector<at::Tensor>& values) {
  at::Tensor sum;
  double all = 0;
  for (size_t i = 0; i < sent.size(); ++i) {
    const auto scaled = values[i].to(at::kDouble) * sent[i].examples;
    sum = sum.defined() ? sum + scaled : scaled;
    all += sent[i].examples;
  }
  return sum / all;
}

at::Tensor clipped_mean(const at::Tensor& now, const std::vector<SentVector>& sent, double limit) {
  std::vector<at::Tensor> steps;
  for (const auto& one : sent) {
    const auto step = one.value.to(at::kDouble) - now.to(at::kDouble);
    const double length = step.norm().item<double>();
    steps.push_back(length > limit ? step * (limit / length) : step);
  }
  return now.to(at::kDouble) + weighed(sent, steps);
}

/// Of each coordinate the mean of what is left without `cut` values at either end.
at::Tensor middle_mean(const std::vector<SentVector>& sent, int64_t cut) {
  std::vector<at::Tensor> values;
  for (const auto& one : sent) values.push_back(one.value.to(at::kDouble));
  const auto sorted = std::get<0>(at::stack(values).sort(0));
  return sorted.narrow(0, cut, sorted.size(0) - 2 * cut).mean(0);
}

}  // namespace

void RobustRule::visit(OptionVisitor& v) {
  v.text("rule", name, "by which the weights that clients send become one",
         {"mean", "clipped", "trimmed", "median"});
  v.real("clip", clip, "clipped: times the median length of a round's steps that a step may have", 1e-3, 1e6);
  v.real("trim", trim, "trimmed: share of the clients that is left out at either end, weight by weight", 0,
         0.49);
}

at::Tensor robust_mean(const at::Tensor& now, const std::vector<SentVector>& sent, const RobustRule& rule,
                       double limit) {
  GW_CHECK(!sent.empty(), "robust mean: expected at least one vector, got none");
  const auto m = static_cast<int64_t>(sent.size()), most = (m - 1) / 2;
  if (rule.name == "clipped") return clipped_mean(now, sent, limit).to(at::kFloat);
  if (rule.name == "median") return middle_mean(sent, most).to(at::kFloat);
  if (rule.name == "trimmed") {
    const auto cut = static_cast<int64_t>(std::ceil(rule.trim * static_cast<double>(m) - 1e-9));
    return middle_mean(sent, std::min(cut, most)).to(at::kFloat);
  }
  std::vector<at::Tensor> values;
  for (const auto& one : sent) values.push_back(one.value);
  return weighed(sent, values).to(at::kFloat);
}

double steps_limit(std::vector<double> lengths, const RobustRule& rule) {
  if (lengths.empty()) return 0;
  std::sort(lengths.begin(), lengths.end());
  return rule.clip * lengths[(lengths.size() - 1) / 2];
}

}  // namespace gw::inline train
