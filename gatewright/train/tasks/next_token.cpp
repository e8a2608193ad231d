#include <ATen/ATen.h>

#include <algorithm>
#include <array>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/train/task.h"

namespace gw::inline train {
namespace {

constexpr double kNatsInABit = 0.6931471805599453;

/// What follows each token, given it and those before.
/// Math:   cross-entropy in nats, mean over the tokens that one follows; in bits it is what a coder would
/// need per token (per byte of bytes).
///         `names` and `domains` measure some domains beside all: bits_per_token.NAME and accuracy.NAME of
///         the tokens of examples of `domains[i]`, over the whole set. `whole` adds exact_match, the share of
///         examples all of whose tokens are right: what is written token by token, the likeliest each time,
///         is then the text itself.
/// Errors: ValueError for names that are not as many as the lists of domains, and for a test without an
///         example of a name's domains.
class NextToken : public Task {
 public:
  static constexpr const char* kSummary =
      "predict the token that follows each token: bits per token, accuracy";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {
    std::vector<std::string> names;
    std::vector<std::vector<int64_t>> domains;
    bool whole = false;
    void fields(OptionVisitor& v) override {
      v.texts("names", names, "of domains that are measured beside all: [\"few\"]");
      v.integer_lists("domains", domains, "of each name: [[6, 7]]", 0, INT64_MAX);
      v.flag("whole", whole, "also the share of examples all of whose tokens are right");
    }
  };

  NextToken(const Options& options, const Context&) : options_(options) {
    GW_CHECK(options.names.size() == options.domains.size(),
             "tasks/next_token: expected as many names as lists of domains, got {} and {}",
             options.names.size(), options.domains.size());
  }

  std::vector<std::string> fields() const override {
    if (options_.names.empty()) return {"token", "target"};
    return {"token", "target", "domain"};
  }
  AnswerSpec answer(const DataSpec& data) const override { return {data.vocabulary, true}; }

  at::Tensor loss(const Output& output, const Batch& batch) const override {
    const auto& answer = output.answer;
    return at::cross_entropy_loss(answer.reshape({-1, answer.size(-1)}), batch.at("target").reshape({-1}));
  }

  std::map<std::string, double> measure(const Output& output, const Batch& batch,
                                        double loss) const override {
    const auto& target = batch.at("target");
    const auto right = output.answer.detach().argmax(-1).eq(target), asked = target.ne(kNoTarget);
    std::map<std::string, double> out{
        {"bits_per_token", loss / kNatsInABit},
        {"accuracy", right.sum().item<double>() / std::max(asked.sum().item<double>(), 1.0)}};
    const auto all_right = right.logical_or(asked.logical_not()).all(1);
    if (options_.whole) out["exact_match"] = all_right.to(at::kDouble).mean().item<double>();
    if (options_.names.empty()) return out;
    const auto counts = counted(output.answer.detach(), target, right, asked, all_right);
    for (size_t i = 0; i < options_.names.size(); ++i) {
      auto of = at::zeros({batch.size()}, at::kBool);
      for (const int64_t domain : options_.domains[i]) of = of.logical_or(batch.at("domain").eq(domain));
      const auto sums = at::matmul(counts, of.to(at::kDouble)) / static_cast<double>(batch.size());
      for (size_t k = 0; k < kSums.size(); ++k)
        out[sum_name(k, options_.names[i])] = sums[static_cast<int64_t>(k)].item<double>();
    }
    return out;
  }

  /// Of the sums, which are means over examples, the ratios that are wanted.
  void finish(std::map<std::string, double>& metrics) const override {
    for (const auto& name : options_.names) {
      std::array<double, kSums.size()> sum{};
      for (size_t k = 0; k < kSums.size(); ++k) {
        const auto it = metrics.find(sum_name(k, name));
        if (it == metrics.end()) return;
        sum[k] = it->second;
        metrics.erase(it);
      }
      if (sum[0] == 0) continue;  // no example of these domains
      metrics["bits_per_token." + name] = sum[2] / sum[1] / kNatsInABit;
      metrics["accuracy." + name] = sum[3] / sum[1];
      if (options_.whole) metrics["exact_match." + name] = sum[4] / sum[0];
    }
  }

  std::vector<std::string> measures() const override {
    std::vector<std::string> all{"bits_per_token", "accuracy"};
    if (options_.whole) all.emplace_back("exact_match");
    const auto plain = all;
    for (const auto& name : options_.names)
      for (const auto& measure : plain) all.push_back(measure + "." + name);
    return all;
  }
  std::string best_by() const override { return "bits_per_token"; }
  bool more_is_better() const override { return false; }

  std::vector<std::string> tables() const override {
    return options_.names.empty() ? std::vector<std::string>{} : std::vector<std::string>{"domains"};
  }

  /// Beside the metrics a table with a row for each domain of the test.
  Measured test(const EvaluationPass& pass) const override {
    if (options_.names.empty()) return Task::test(pass);
    auto each = *this;
    const auto present = std::get<0>(at::_unique(pass.set.at("domain")));
    for (int64_t i = 0; i < present.size(0); ++i) {
      const auto domain = present[i].item<int64_t>();
      each.options_.names.push_back(kOne + std::to_string(domain)), each.options_.domains.push_back({domain});
    }
    auto out = each.Task::test(pass);
    for (const auto& name : options_.names)
      GW_CHECK(out.metrics.count("bits_per_token." + name) > 0,
               "tasks/next_token: expected test examples of the domains of \"{}\", got none", name);
    out.details["tables"]["domains"] = table_of(present, out.metrics);
    return out;
  }

 private:
  /// Of an example: itself, its asked tokens, their nats, those that are right, whether all are.
  static constexpr std::array<const char*, 5> kSums{"examples", "asked", "nats", "right", "whole"};
  static std::string sum_name(size_t k, const std::string& name) {
    return std::string("sum_of_") + kSums[k] + "." + name;
  }

  static constexpr const char* kOne = "domain ";  // no name of a recipe's: those are parts of metrics

  /// Takes the measures of single domains out of the metrics.
  Json table_of(const at::Tensor& present, std::map<std::string, double>& metrics) const {
    std::vector<std::string> columns{"bits_per_token", "accuracy"};
    if (options_.whole) columns.emplace_back("exact_match");
    Json names = Json::array(), values = Json::array();
    for (int64_t i = 0; i < present.size(0); ++i) {
      const auto domain = std::to_string(present[i].item<int64_t>());
      Json row = Json::array();
      for (const auto& column : columns) {
        const auto it = metrics.find(column + "." + kOne + domain);
        row.push_back(it->second);
        metrics.erase(it);
      }
      names.push_back(domain), values.push_back(row);
    }
    return {{"row", "domain"}, {"columns", columns}, {"names", names}, {"values", values}};
  }

  /// [5, B] of the sums above.
  static at::Tensor counted(const at::Tensor& answer, const at::Tensor& target, const at::Tensor& right,
                            const at::Tensor& asked, const at::Tensor& all_right) {
    const auto chance = at::log_softmax(answer, -1);
    const auto taken = chance.gather(-1, target.clamp_min(0).unsqueeze(-1)).squeeze(-1);
    const auto nats = -taken.to(at::kDouble).masked_fill(asked.logical_not(), 0);
    const auto one = at::ones({target.size(0)}, at::kDouble);
    return at::stack({one, asked.to(at::kDouble).sum(1), nats.sum(1), right.to(at::kDouble).sum(1),
                      all_right.to(at::kDouble)});
  }

  Options options_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Task, gw::NextToken);
