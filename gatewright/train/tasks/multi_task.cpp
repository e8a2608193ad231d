#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/train/area_under_curve.h"
#include "gatewright/train/expert_report.h"
#include "gatewright/train/task.h"

namespace gw::inline train {
namespace {

constexpr int64_t kPass = 1024;

/// Several answers of each row, of which some may be missing.
/// Math:   loss = Σ_t w_t L_t, L_t the mean over the batch's rows that have target t: of two classes the
///         binary cross-entropy of one score, of more the cross-entropy, of numbers the mean square of the
///         standardised errors; 0 where no row has it. With all w = 1 this is the sum of the losses.
/// Measured over the whole set: task_loss; of classes accuracy.<target>, of two auc.<target>, of numbers
///         rmse.<target> in deviations of the training rows; auc: the mean of the areas. Of networks with
///         dense gates on the test rows: those of gatewright/train/expert_report.h and the table
///         "expert_use".
/// Errors: ValueError for data without the field "targets" and for weights of unknown targets, or all zero.
class MultiTask : public Task {
 public:
  static constexpr const char* kSummary =
      "several answers of each row: classes and numbers, weighted, some missing";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {
    OptionTable weights;
    void fields(OptionVisitor& v) override {
      v.table("weights", weights, "of the targets' losses by name: {price = 0.5}; 1 for those not named");
    }
  };

  MultiTask(const Options& options, const Context& context)
      : names_(make_chosen<Dataset>(context.config.data, {})->targets()) {
    GW_CHECK(!names_.empty(),
             "tasks/multi_task: expected data with several targets, got datasets/{} without; give it targets "
             "= [...]",
             context.config.data.name);
    weights_.assign(names_.size(), 1);
    for (const auto& [name, value] : options.weights.json().items()) {
      const auto found = std::find(names_.begin(), names_.end(), name);
      GW_CHECK(found != names_.end(), "tasks/multi_task: unknown target \"{}\" in \"weights\"{}", name,
               near_miss(name, names_));
      GW_CHECK(value.is_number() && value.get<double>() >= 0,
               "tasks/multi_task: expected a weight of 0 or more for \"{}\", got {}", name, value.dump());
      weights_[static_cast<size_t>(found - names_.begin())] = value.get<double>();
    }
    GW_CHECK(*std::max_element(weights_.begin(), weights_.end()) > 0,
             "tasks/multi_task: expected a target of a weight above 0, got none");
  }

  std::vector<std::string> fields() const override { return {"targets"}; }

  AnswerSpec answer(const DataSpec& data) const override {
    GW_CHECK(data.targets.size() == names_.size(), "tasks/multi_task: expected data of {} targets, got {}",
             names_.size(), data.targets.size());
    AnswerSpec spec{0, false, {}};
    for (const auto& target : data.targets) {
      const auto classes = static_cast<int64_t>(target.class_names.size());
      const int64_t width = classes > 2 ? classes : 1;
      spec.parts.push_back({target.name, width}), spec.width += width;
    }
    return spec;
  }

  at::Tensor loss(const Output& output, const Batch& batch) const override {
    at::Tensor sum = output.answer.sum() * 0;  // depends on the answer even where every target is missing
    each(output.answer, batch,
         [&](size_t t, int64_t classes, const at::Tensor& answer, const at::Tensor& target) {
           if (weights_[t] > 0 && target.numel() > 0)
             sum = sum + loss_of(classes, answer, target) * weights_[t];
         });
    return sum;
  }

  /// Of a batch: the targets that it has.
  std::map<std::string, double> measure(const Output& output, const Batch& batch,
                                        double loss) const override {
    auto metrics = measured(output.answer.detach(), batch);
    metrics["task_loss"] = loss;
    return metrics;
  }

  std::vector<std::string> measures() const override {
    std::vector<std::string> names{"task_loss", "auc"};
    for (const auto& target : names_) {
      for (const char* what : {"auc.", "accuracy.", "rmse."}) names.push_back(what + target);
    }
    return names;
  }
  std::vector<std::string> tested() const override {
    auto names = measures();
    names.insert(names.end(), {"dead_experts", "zero_share", "deviation_ratio"});
    for (const auto& target : names_) names.push_back("own_weight." + target);
    return names;
  }
  std::vector<std::string> tables() const override { return {"expert_use"}; }
  std::string best_by() const override { return "task_loss"; }
  bool more_is_better() const override { return false; }

  Measured validate(const EvaluationPass& pass) const override { return over_set(pass, nullptr); }
  Measured test(const EvaluationPass& pass) const override {
    ExpertReport report;
    auto result = over_set(pass, &report);
    if (report.empty()) return result;
    const auto known = tested();
    for (const auto& [name, value] : report.metrics())
      if (std::find(known.begin(), known.end(), name) != known.end()) result.metrics[name] = value;
    result.details["tables"] = Json{{"expert_use", report.table_json()}};
    result.details["alarms"] = report.alarms();
    return result;
  }

 private:
  /// Calls with each target, its answer and its values at the rows that have it.
  template <class Call>
  void each(const at::Tensor& answer, const Batch& batch, const Call& call) const {
    const auto& targets = batch.at("targets");
    const auto& classes = batch.whole("target_classes");
    int64_t at = 0;
    for (size_t t = 0; t < names_.size(); ++t) {
      const int64_t of_target = classes[static_cast<int64_t>(t)].item<int64_t>(),
                    width = of_target > 2 ? of_target : 1;
      const auto value = targets.select(1, static_cast<int64_t>(t));
      const auto rows = at::isfinite(value).nonzero().squeeze(1);
      call(t, of_target, answer.narrow(1, at, width).index_select(0, rows),
           value.index_select(0, rows).to(answer.scalar_type()));
      at += width;
    }
  }

  static at::Tensor loss_of(int64_t classes, const at::Tensor& answer, const at::Tensor& target) {
    if (classes == 0) return at::mse_loss(answer.squeeze(1), target);
    if (classes == 2) return at::binary_cross_entropy_with_logits(answer.squeeze(1), target);
    return at::cross_entropy_loss(answer, target.to(at::kLong));
  }

  std::map<std::string, double> measured(const at::Tensor& answers, const Batch& batch) const {
    std::map<std::string, double> out;
    double areas = 0, binary = 0;
    each(answers, batch, [&](size_t t, int64_t classes, const at::Tensor& answer, const at::Tensor& target) {
      if (target.numel() == 0) return;
      const auto& name = names_[t];
      if (classes == 0) {
        out["rmse." + name] = std::sqrt(at::mse_loss(answer.squeeze(1), target).item<double>());
        return;
      }
      const auto said = classes == 2 ? answer.squeeze(1).gt(0).to(at::kLong) : answer.argmax(1);
      out["accuracy." + name] = said.eq(target.to(at::kLong)).to(at::kDouble).mean().item<double>();
      if (classes != 2) return;
      const double area = area_under_curve(answer.squeeze(1), target.gt(0.5));
      if (std::isfinite(area)) out["auc." + name] = area, areas += area, ++binary;
    });
    if (binary > 0) out["auc"] = areas / binary;
    return out;
  }

  Measured over_set(const EvaluationPass& pass, ExpertReport* report) const {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> answers;
    each_answer(pass, kPass, [&](const Batch&, const Output& output) {
      answers.push_back(output.answer);
      if (report != nullptr && output.use) report->add(*output.use);
    });
    const Output all{at::cat(answers), {}};
    Batch whole;
    static_cast<TensorSet&>(whole) = pass.set;
    Measured out;
    out.metrics = measure(all, whole, loss(all, whole).item<double>());
    out.details["examples"] = pass.set.size();
    return out;
  }

  std::vector<std::string> names_;
  std::vector<double> weights_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Task, gw::MultiTask);
