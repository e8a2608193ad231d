#include "gatewright/models/growing.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <optional>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/train/drift_monitor.h"
#include "gatewright/train/gradient_learner.h"

namespace gw::inline train {
namespace {

/// The values of a model's parameters and buffers at one time.
class Snapshot {
 public:
  explicit Snapshot(const torch::nn::Module& model) : values_(tensors(model)) {
    for (auto& value : values_) value = value.detach().clone();
  }
  /// Trades them for those that the model has.
  void swap(const torch::nn::Module& model) {
    const at::NoGradGuard no_grad;
    const auto own = tensors(model);
    for (size_t i = 0; i < own.size(); ++i) {
      const auto now = own[i].clone();
      own[i].copy_(values_[i]), values_[i] = now;
    }
  }

 private:
  static std::vector<at::Tensor> tensors(const torch::nn::Module& model) {
    auto all = model.parameters();
    const auto buffers = model.buffers();
    all.insert(all.end(), buffers.begin(), buffers.end());
    return all;
  }
  std::vector<at::Tensor> values_;
};

/// A network that gets an expert more whenever the stream changes.
/// What the task watches (its loss; of fair_classification the signed gaps too) has a monitor each, which
/// share the level evenly. Watched is the network as it was when the monitors began: what it says of windows
/// of an unchanged stream is independent from window to window, as the level wants it; a network that goes
/// on learning drifts by itself (7 of 40 unchanged streams had an alarm at a level of 0.05, 2026-11-30).
/// At an alarm the expert with the lowest cross-entropy of the window is copied, what is remembered is
/// forgotten, and for `boosted` windows the learning rate is multiplied by `boost`; then, after `settle`
/// windows, the monitors begin anew. Experts whose mean weight in a window is below `prune` leave; none does
/// while boosted.
/// Errors: ValueError for a network that does not grow, and for a stream without labels.
/// Cost:   beside the steps, one more answer to each window.
/// Source: Sharma, Henderson, Ghosh 2022 (FEAMOE), arXiv 2210.04995, reconstructed from its abstract; the
///         monitors with a stated level in place of a threshold on the loss are ours.
class Growing : public GradientLearner {
 public:
  static constexpr const char* kSummary =
      "an expert more whenever the stream changes, one fewer where unused";
  static constexpr const char* kSource = "FEAMOE, arXiv 2210.04995 (reconstructed)";
  struct Options : GradientLearnerOptions {
    Nested<DriftOptions> drift;
    int64_t settle = 10, boosted = 10;
    double boost = 3, prune = 0.01;
    void fields(OptionVisitor& v) override {
      GradientLearnerOptions::fields(v);
      v.table("drift", drift, "level, reference and horizon of the monitors");
      v.integer("settle", settle, "windows before a monitor begins its reference", 0, 1000000);
      v.integer("boosted", boosted, "windows after an alarm with a higher learning rate", 0, 1000000);
      v.real("boost", boost, "factor on the learning rate in those", 1e-3, 1e3);
      v.real("prune", prune, "mean weight below which an expert leaves; 0: none does", 0, 0.5);
    }
  };

  Growing(const Options& options, const Context&) : GradientLearner(options), o_(options) {}

  void begin(const LearnerSetup& setup) override {
    GradientLearner::begin(setup);
    experts_ = dynamic_cast<GrowingExperts*>(&model());
    GW_CHECK(experts_ != nullptr,
             "learners/growing: expected a network whose experts may be added, got another; take "
             "linear_experts");
    since_ = 0, then_.reset();
  }

  LearnerNews learn(const Answered& answered, const StreamMoment& moment) override {
    const auto& batch = answered.batch;
    const bool alarm = watch(batch, moment.rng.fork("watch"));
    if (alarm) grow(answered, moment.rng.fork("grow"));
    const bool boosted = grown_ + full_ > 0 && since_ < o_.boosted;
    const auto all = with_memory(batch);
    remember(batch);
    const double loss = take_steps(all, moment.rng, boosted ? o_.boost : 1);
    ++since_;
    if (!boosted) prune(answered.output);
    return {{{"train_loss", loss},
             {"experts", static_cast<double>(experts_->experts())},
             {"grown", static_cast<double>(grown_)},
             {"pruned", static_cast<double>(pruned_)}},
            alarm};
  }

  std::vector<std::string> reports() const override { return {"train_loss", "experts", "grown", "pruned"}; }
  std::vector<std::string> table_names() const override { return {"attribution"}; }

  std::map<std::string, ValueTable> tables(const Batch& rows) override {
    const auto* explained = dynamic_cast<const Attributing*>(&model());
    if (explained == nullptr || !rows.has("x") || !rows.has("group")) return {};
    const at::NoGradGuard no_grad;
    const auto& x = rows.at("x");
    const auto size = explained->attributions(x, x.mean(0)).abs().to(at::kDouble);
    ValueTable table{"input", {"all", "group 0", "group 1"}, {}, {}};
    for (int64_t j = 0; j < x.size(1); ++j) {
      const auto one = size.select(1, j);
      const auto of = [&](int64_t g) {
        return one.masked_select(rows.at("group").eq(g)).mean().item<double>();
      };
      table.names.push_back("x" + std::to_string(j)),
          table.values.push_back({one.mean().item<double>(), of(0), of(1)});
    }
    return {{"attribution", table}};
  }

 private:
  /// What the network of then says.
  Answered answer_of_then(const Batch& batch, const Rng& rng) {
    const at::NoGradGuard no_grad;
    then_->swap(model());
    auto answered = answer(batch, rng);
    then_->swap(model());
    return answered;
  }

  bool watch(const Batch& batch, const Rng& rng) {
    if (since_ < o_.settle) return false;
    if (!then_) then_.emplace(model());
    const auto answered = answer_of_then(batch, rng);
    const auto watched = watched_of(task(), answered.output, answered.batch);
    bool alarm = false;
    for (const auto& one : watched) {
      if (monitors_.count(one.name) == 0) {
        auto options = *o_.drift;
        options.level /= static_cast<double>(watched.size()), options.two_sided = one.two_sided;
        monitors_.emplace(one.name, DriftMonitor(options));
      }
      alarm = monitors_.at(one.name).add(one.value) || alarm;
    }
    return alarm;
  }

  void grow(const Answered& answered, const Rng& rng) {
    experts_->grow(best(answered), rng) ? ++grown_ : ++full_;
    forget();
    for (auto& [name, monitor] : monitors_) monitor.reset();
    then_.reset(), since_ = 0;
  }

  static int64_t best(const Answered& answered) {
    const at::NoGradGuard no_grad;
    const auto& use = answered.output.use;
    if (!use) return 0;
    std::vector<double> loss;
    for (const auto& one : use->answers)
      loss.push_back(at::cross_entropy_loss(one, answered.batch.at("label")).item<double>());
    return std::min_element(loss.begin(), loss.end()) - loss.begin();
  }

  /// The least used expert, by the weights before this window's steps.
  void prune(const Output& answered) {
    if (!answered.use || answered.use->gates.empty() || experts_->experts() < 2) return;
    const auto share = answered.use->gates[0].weight.detach().mean(0);
    if (share.numel() != experts_->experts() || share.min().item<double>() >= o_.prune) return;
    experts_->drop(share.argmin().item<int64_t>());
    ++pruned_;
  }

  Options o_;
  GrowingExperts* experts_ = nullptr;
  std::map<std::string, DriftMonitor> monitors_;
  std::optional<Snapshot> then_;  ///< when the monitors began
  int64_t since_ = 0, grown_ = 0, full_ = 0, pruned_ = 0;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Learner, gw::Growing);
