#include "gatewright/train/expert_report.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "gatewright/base/check.h"

namespace gw::inline train {
namespace {

constexpr double kDeadShare = 0.1;  // of an even share of a gate's weight

std::vector<double> sums_by_column(const at::Tensor& rows) {
  const auto sums = rows.detach().to(at::kDouble).sum(0).contiguous();
  return {sums.data_ptr<double>(), sums.data_ptr<double>() + sums.numel()};
}

}  // namespace

double ExpertReport::Answers::deviation() const {
  return count > 0 ? std::sqrt(std::max(squares / count - sum * sum / (count * count), 0.0)) : 0;
}

void ExpertReport::add(const ExpertUse& use) {
  const at::NoGradGuard no_grad;
  if (experts_.empty()) {
    for (const auto& name : use.experts) experts_.push_back({name});
    for (const auto& gate : use.gates)
      gates_.push_back({gate.name, gate.experts, gate.own, std::vector<double>(gate.experts.size(), 0)});
  }
  GW_ENSURE(use.answers.size() == experts_.size() && use.gates.size() == gates_.size(),
            "expert report: expected {} experts and {} gates in every batch, got {} and {}", experts_.size(),
            gates_.size(), use.answers.size(), use.gates.size());
  for (size_t e = 0; e < experts_.size(); ++e) {
    const auto answers = use.answers[e].detach().to(at::kDouble);
    experts_[e].zeros += answers.eq(0).sum().item<double>();
    experts_[e].sum += answers.sum().item<double>(),
        experts_[e].squares += answers.square().sum().item<double>();
    experts_[e].count += static_cast<double>(answers.numel());
  }
  for (size_t g = 0; g < gates_.size(); ++g) {
    const auto sums = sums_by_column(use.gates[g].weight);
    for (size_t i = 0; i < sums.size(); ++i) gates_[g].sum[i] += sums[i];
  }
  rows_ += static_cast<double>(use.gates.front().weight.size(0));
}

bool ExpertReport::dead(size_t expert) const {
  if (experts_[expert].zeros >= experts_[expert].count) return true;
  for (const auto& gate : gates_) {
    const auto at = std::find(gate.experts.begin(), gate.experts.end(), static_cast<int64_t>(expert));
    if (at == gate.experts.end()) continue;
    const double mean = gate.sum[static_cast<size_t>(at - gate.experts.begin())] / rows_;
    if (mean >= kDeadShare / static_cast<double>(gate.experts.size())) return false;
  }
  return true;
}

ValueTable ExpertReport::table() const {
  ValueTable table{"expert", {}, {}, {}};
  for (const auto& gate : gates_) {
    const bool twice = std::count_if(gates_.begin(), gates_.end(),
                                     [&](const auto& other) { return other.name == gate.name; }) > 1;
    const auto level =
        std::count_if(gates_.data(), &gate, [&](const auto& other) { return other.name == gate.name; });
    table.columns.push_back(twice ? fmt::format("weight, {} (level {})", gate.name, level + 1)
                                  : "weight, " + gate.name);
  }
  for (const char* column : {"exact zeros", "deviation", "dead"}) table.columns.emplace_back(column);
  for (size_t e = 0; e < experts_.size(); ++e) {
    std::vector<double> row;
    for (const auto& gate : gates_) {
      const auto at = std::find(gate.experts.begin(), gate.experts.end(), static_cast<int64_t>(e));
      row.push_back(at == gate.experts.end()
                        ? std::numeric_limits<double>::quiet_NaN()
                        : gate.sum[static_cast<size_t>(at - gate.experts.begin())] / rows_);
    }
    const auto& expert = experts_[e];
    row.insert(row.end(), {expert.zeros / expert.count, expert.deviation(), dead(e) ? 1.0 : 0.0});
    table.names.push_back(expert.name), table.values.push_back(std::move(row));
  }
  return table;
}

Json ExpertReport::table_json() const {
  const auto shown = table();
  return {{"row", shown.row}, {"columns", shown.columns}, {"names", shown.names}, {"values", shown.values}};
}

std::map<std::string, double> ExpertReport::metrics() const {
  std::map<std::string, double> out{{"dead_experts", 0}};
  double zeros = 0, count = 0, least = std::numeric_limits<double>::infinity(), most = 0;
  for (size_t e = 0; e < experts_.size(); ++e) {
    out["dead_experts"] += dead(e) ? 1 : 0;
    zeros += experts_[e].zeros, count += experts_[e].count;
    if (const double deviation = experts_[e].deviation(); deviation > 0)
      least = std::min(least, deviation), most = std::max(most, deviation);
  }
  out["zero_share"] = zeros / count;
  if (most > 0) out["deviation_ratio"] = most / least;
  for (const auto& gate : gates_) {
    if (gate.own.empty()) continue;
    double sum = 0;
    for (size_t i = 0; i < gate.experts.size(); ++i) {
      if (std::find(gate.own.begin(), gate.own.end(), gate.experts[i]) != gate.own.end()) sum += gate.sum[i];
    }
    out["own_weight." + gate.name] = sum / rows_;  // of gates of one name the last level's
  }
  return out;
}

std::vector<std::string> ExpertReport::alarms() const {
  std::vector<std::string> lines;
  for (size_t e = 0; e < experts_.size(); ++e) {
    if (dead(e))
      lines.push_back(
          fmt::format("expert \"{}\" is dead: every gate that sees it gives it less than a tenth of an "
                      "even share, or its answers are zero for every row",
                      experts_[e].name));
  }
  return lines;
}

}  // namespace gw::inline train
