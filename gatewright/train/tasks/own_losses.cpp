#include <ATen/ATen.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/graph_prompts.h"
#include "gatewright/train/task.h"

namespace gw::inline train {
namespace {

/// No labels: a model learns from the losses that its own layers bring with their plans.
/// Measured: own_loss, their sum; of models with prompts, in the test, prompt_cosine: the mean |cos| of two.
/// Errors: ValueError for a model whose layers bring no losses.
class OwnLosses : public Task {
 public:
  static constexpr const char* kSummary = "no labels: the losses that the model's own layers bring";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {};

  OwnLosses(const Options&, const Context&) {}

  std::vector<std::string> fields() const override { return {}; }
  /// Answers stay what a later training on the labels needs, so that its weights fit.
  AnswerSpec answer(const DataSpec& data) const override {
    return {std::max<int64_t>(data.classes, 2), false};
  }
  at::Tensor loss(const Output& output, const Batch&) const override {
    const bool taught = std::any_of(output.plans.begin(), output.plans.end(),
                                    [](const SitedPlan& sited) { return !sited.plan.aux.empty(); });
    GW_CHECK(taught,
             "tasks/own_losses: expected a model whose layers bring losses, got one without; take gmope with "
             "edges = true");
    return at::zeros({}, output.answer.options());
  }
  std::map<std::string, double> measure(const Output& output, const Batch&, double) const override {
    double sum = 0;
    for (const auto& [site, plan] : output.plans) {
      for (const auto& item : plan.aux) sum += item.second.detach().item<double>();
    }
    return {{"own_loss", sum}};
  }
  std::vector<std::string> measures() const override { return {"own_loss"}; }
  std::vector<std::string> tested() const override {
    auto names = validated();
    names.emplace_back("prompt_cosine");
    return names;
  }
  std::string best_by() const override { return "own_loss"; }
  bool more_is_better() const override { return false; }

  Measured validate(const EvaluationPass& pass) const override { return measure_set(*this, pass, kTogether); }
  Measured test(const EvaluationPass& pass) const override {
    auto out = measure_set(*this, pass, kTogether);
    if (const auto* bank = dynamic_cast<const PromptBank*>(&pass.model))
      out.metrics["prompt_cosine"] = mean_cosine(bank->prompts());
    return out;
  }

 private:
  static constexpr int64_t kTogether = 1 << 16;  // models of graphs see the whole of them with every batch
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Task, gw::OwnLosses);
