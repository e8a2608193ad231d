#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/train/task.h"

namespace gw::inline train {
namespace {

/// One class for each example, by experts that all answer.
/// Math:   loss = "mixed": cross-entropy of the model's one answer. "each": mean Σ_e w_e · cross-entropy of
///         expert e, w the weights of its one gate: an expert is taught as much as it is trusted.
/// Measured: accuracy and cross_entropy of the one answer; of models with a gate that leaves nobody out
///         expected_accuracy (of an expert drawn by its weight, exactly), first_weight (mean weight of the
///         first expert) and, where examples have domains, weight_gap: that of the last domain minus that of
///         the first.
/// Errors: ValueError for "each" with a model without such a gate, and for data of fewer than 2 classes.
class ExpertClassification : public Task {
 public:
  static constexpr const char* kSummary =
      "one class for each example, by experts that all answer: accuracy, weights";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {
    std::string loss = "mixed";
    void fields(OptionVisitor& v) override {
      v.text("loss", loss, "of the one answer, or of each expert by its weight", {"mixed", "each"});
    }
  };

  ExpertClassification(const Options& options, const Context&) : each_(options.loss == "each") {}

  std::vector<std::string> fields() const override { return {"label"}; }
  AnswerSpec answer(const DataSpec& data) const override {
    GW_CHECK(data.classes >= 2, "tasks/expert_classification: expected data of at least 2 classes, got {}",
             data.classes);
    return {data.classes, false};
  }

  at::Tensor loss(const Output& output, const Batch& batch) const override {
    const auto& label = batch.at("label");
    if (!each_) return at::cross_entropy_loss(output.answer, label);
    const auto weight = weights(output);
    GW_CHECK(weight.defined(),
             "tasks/expert_classification: expected a network whose one gate weighs experts for loss = "
             "\"each\", got one "
             "without; take mowst, or loss = \"mixed\"");
    at::Tensor sum;
    for (int64_t e = 0; e < weight.size(1); ++e) {
      const auto one =
          at::cross_entropy_loss(output.use->answers[static_cast<size_t>(e)], label, {}, at::Reduction::None);
      const auto term = (weight.select(1, e) * one).mean();
      sum = sum.defined() ? sum + term : term;
    }
    return sum;
  }

  std::map<std::string, double> measure(const Output& output, const Batch& batch,
                                        double loss) const override {
    const auto& label = batch.at("label");
    const auto mean = [](const at::Tensor& values) { return values.to(at::kDouble).mean().item<double>(); };
    const at::NoGradGuard no_grad;
    std::map<std::string, double> out{
        {"accuracy", mean(output.answer.argmax(1).eq(label))},
        {"task_loss", loss},
        {"cross_entropy", at::cross_entropy_loss(output.answer, label).item<double>()}};
    const auto weight = weights(output);
    if (!weight.defined()) return out;
    auto right = at::zeros({label.numel()}, at::kDouble);
    for (int64_t e = 0; e < weight.size(1); ++e)
      right += weight.select(1, e).to(at::kDouble) *
               output.use->answers[static_cast<size_t>(e)].argmax(1).eq(label).to(at::kDouble);
    out["expected_accuracy"] = mean(right), out["first_weight"] = mean(weight.select(1, 0));
    return out;
  }

  std::vector<std::string> measures() const override {
    return {"accuracy", "cross_entropy", "task_loss", "expected_accuracy", "first_weight"};
  }
  std::vector<std::string> tested() const override {
    auto names = validated();
    names.insert(names.end(), {"weight_gap", "accuracy.first_domain", "accuracy.last_domain"});
    return names;
  }
  std::string best_by() const override { return "cross_entropy"; }
  bool more_is_better() const override { return false; }

  Measured test(const EvaluationPass& pass) const override {
    auto out = measure_set(*this, pass, kTogether);
    if (!pass.set.has("domain")) return out;
    const auto& domain = pass.set.at("domain");
    const int64_t last = domain.max().item<int64_t>();
    const auto of = [&](int64_t wanted) {
      const auto set = pass.set.rows(domain.eq(wanted).nonzero().squeeze(1));
      return set.size() > 0 ? measure_set(*this, {pass.model, set, pass.rng, pass.frame}, kTogether).metrics
                            : std::map<std::string, double>{};
    };
    auto first = of(0), end = of(last);
    if (first.count("accuracy") > 0) out.metrics["accuracy.first_domain"] = first["accuracy"];
    if (end.count("accuracy") > 0) out.metrics["accuracy.last_domain"] = end["accuracy"];
    if (first.count("first_weight") > 0 && end.count("first_weight") > 0)
      out.metrics["weight_gap"] = end["first_weight"] - first["first_weight"];
    return out;
  }
  Measured validate(const EvaluationPass& pass) const override { return measure_set(*this, pass, kTogether); }

 private:
  /// Models of graphs pass over the whole of it for every batch.
  static constexpr int64_t kTogether = 1 << 16;

  static at::Tensor weights(const Output& output) {
    if (!output.use || output.use->gates.size() != 1) return {};
    return output.use->gates[0].weight;
  }

  bool each_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Task, gw::ExpertClassification);
