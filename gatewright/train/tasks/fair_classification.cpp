#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <cmath>
#include <map>
#include <optional>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/train/slope.h"
#include "gatewright/train/watched_task.h"

namespace gw::inline train {
namespace {

/// The difference of means between the rows of two masks; nothing where one of them has no row.
std::optional<at::Tensor> difference(const at::Tensor& value, const at::Tensor& first,
                                     const at::Tensor& second) {
  if (!first.any().item<bool>() || !second.any().item<bool>()) return std::nullopt;
  return value.masked_select(first).mean() - value.masked_select(second).mean();
}

/// One class for each example, and a price on what two groups of examples are given apart.
/// Math:   loss = cross-entropy + strength · Σ gap², p = probability of the class `favoured`, s = "group":
///         demographic_parity  E[p|s=1] − E[p|s=0];
///         equalised_odds      E[p|s=1, y] − E[p|s=0, y] for y favoured and y not;
///         burden              E[d|s=1, p<½] − E[d|s=0, p<½], d = |log odds| / ‖∇_x log odds‖: the distance
///                             to a favourable answer, to first order.
///         A gap of which a side has no row in the batch does not count: batches should hold hundreds.
/// Measured: by decisions parity_gap (share that is favoured) and odds_gap (the larger of its two);
///         burden_gap of decisions, with that constraint alone; cross_entropy, penalty and accuracy.
/// Errors: ValueError for groups other than 0 and 1.
/// Source: Sharma, Henderson, Ghosh 2022 (FEAMOE), arXiv 2210.04995, reconstructed from its abstract.
class FairClassification : public Task, public SlopedTask, public WatchedTask {
 public:
  static constexpr const char* kSummary =
      "one class for each example, with a price on gaps between two groups";
  static constexpr const char* kSource = "FEAMOE, arXiv 2210.04995 (reconstructed)";
  struct Options : OptionSet {
    std::string constraint = "demographic_parity";
    double strength = 1;
    int64_t favoured = 1;
    void fields(OptionVisitor& v) override {
      v.text("constraint", constraint, "which gap is priced",
             {"demographic_parity", "equalised_odds", "burden", "none"});
      v.real("strength", strength, "of the price, in nats for a squared gap of 1", 0, 1e6);
      v.integer("favoured", favoured, "the class that everybody wants", 0, 1 << 20);
    }
  };

  FairClassification(const Options& options, const Context&) : o_(options) {}

  std::vector<std::string> fields() const override { return {"label", "group"}; }
  AnswerSpec answer(const DataSpec& data) const override {
    GW_CHECK(data.classes >= 2 && o_.favoured < data.classes,
             "tasks/fair_classification: expected data of at least 2 classes and favoured = one of them, got "
             "{} classes and {}",
             data.classes, o_.favoured);
    return {data.classes, false};
  }
  int64_t sloped_class() const override { return o_.constraint == "burden" ? o_.favoured : -1; }

  at::Tensor loss(const Output& output, const Batch& batch) const override {
    auto sum = at::cross_entropy_loss(output.answer, batch.at("label"));
    for (const auto& [name, gap] : priced(output, batch)) sum = sum + o_.strength * gap.square();
    return sum;
  }

  std::map<std::string, double> measure(const Output& output, const Batch& batch,
                                        double loss) const override {
    const at::NoGradGuard no_grad;
    const auto& label = batch.at("label");
    const auto decision = output.answer.argmax(1);
    std::map<std::string, double> out{
        {"accuracy", decision.eq(label).to(at::kDouble).mean().item<double>()},
        {"cross_entropy", at::cross_entropy_loss(output.answer, label).item<double>()},
        {"task_loss", loss},
        {"penalty", 0}};
    for (const auto& [name, gap] : priced(output, batch)) out["penalty"] += gap.square().item<double>();
    const auto chosen = decision.eq(o_.favoured).to(at::kDouble);
    for (const auto& [name, gap] : gaps("demographic_parity", chosen, batch))
      out["parity_gap"] = std::abs(gap.item<double>());
    for (const auto& [name, gap] : gaps("equalised_odds", chosen, batch))
      out["odds_gap"] = std::max(out["odds_gap"], std::abs(gap.item<double>()));
    if (batch.has("slope")) {
      const auto apart = burden(output, batch, decision.ne(o_.favoured));
      if (apart) out["burden_gap"] = std::abs(apart->item<double>());
    }
    return out;
  }

  std::vector<std::string> measures() const override {
    return {"accuracy", "parity_gap", "odds_gap", "burden_gap", "cross_entropy", "task_loss", "penalty"};
  }
  std::string best_by() const override { return "task_loss"; }
  bool more_is_better() const override { return false; }
  Measured validate(const EvaluationPass& pass) const override {
    return measure_whole(*this, pass, kTogether);
  }
  Measured test(const EvaluationPass& pass) const override { return measure_whole(*this, pass, kTogether); }

  std::vector<Watched> watched(const Output& output, const Batch& batch) const override {
    const at::NoGradGuard no_grad;
    std::vector<Watched> out{
        {"cross_entropy", at::cross_entropy_loss(output.answer, batch.at("label")).item<double>()}};
    for (const auto& [name, gap] : priced(output, batch)) out.push_back({name, gap.item<double>(), true});
    return out;
  }

 private:
  using Gaps = std::vector<std::pair<std::string, at::Tensor>>;
  static constexpr int64_t kTogether = 4096;

  static at::Tensor in_group(const Batch& batch) {
    const auto& group = batch.at("group");
    GW_CHECK(group.numel() == 0 || (group.min().item<int64_t>() >= 0 && group.max().item<int64_t>() <= 1),
             "tasks/fair_classification: expected groups 0 and 1, got others");
    return group.eq(1);
  }

  /// Signed gaps of a value of each row.
  Gaps gaps(const std::string& constraint, const at::Tensor& value, const Batch& batch) const {
    const auto first = in_group(batch);
    Gaps out;
    const auto add = [&](const char* name, const at::Tensor& among) {
      if (auto gap = difference(value, first & among, ~first & among)) out.emplace_back(name, *gap);
    };
    const auto favoured = batch.at("label").eq(o_.favoured);
    if (constraint == "demographic_parity") add("parity", at::ones_like(first));
    if (constraint == "equalised_odds") add("odds, favoured", favoured), add("odds, others", ~favoured);
    return out;
  }

  Gaps priced(const Output& output, const Batch& batch) const {
    if (o_.constraint == "none") return {};
    const auto p = at::softmax(output.answer, 1).select(1, o_.favoured);
    if (o_.constraint != "burden") return gaps(o_.constraint, p, batch);
    Gaps out;
    if (auto gap = burden(output, batch, p.detach().lt(0.5))) out.emplace_back("burden", *gap);
    return out;
  }

  std::optional<at::Tensor> burden(const Output& output, const Batch& batch,
                                   const at::Tensor& refused) const {
    GW_CHECK(batch.has("slope"),
             "tasks/fair_classification: expected an answer with its slope for burden, got one without; "
             "objective = \"natural\" asks for it");
    // A flat answer has no way out; the floor keeps its gradient finite.
    const auto steepness = batch.at("slope").square().sum(1).clamp_min(1e-6).sqrt();
    const auto first = in_group(batch);
    return difference(log_odds(output.answer, o_.favoured).abs() / steepness, first & refused,
                      ~first & refused);
  }

  Options o_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Task, gw::FairClassification);
