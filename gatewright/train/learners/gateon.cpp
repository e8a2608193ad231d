#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <deque>
#include <optional>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/train/gradient_learner.h"
#include "gatewright/train/neuron_guard.h"

namespace gw::inline train {
namespace {

/// A sequence of tasks without replay: a context for each gates the neurons (of networks/gated_mlp), and what
/// a task used is protected from the next ones (gatewright/train/neuron_guard.h). The optimizer begins anew
/// with every task. `context` = given: the field "domain" is the context, in training and test. inferred: it
/// is never looked
///   at. A window whose loss exceeds `change` times the mean of the last `recent` ones under its context ends
///   a task; the first known context whose own recent mean explains it within the same factor goes on, else a
///   new one begins. Rows to be answered get the known context under which the window's answers have the
///   least mean entropy.
/// Errors: ValueError for a network without watched neurons, and for more tasks than it has contexts.
/// Source: Barry, Gerstner, Bellec 2023 (GateON), arXiv 2306.01690; differs: the factor on the update and not
///         on the gradient, no double softmax, `change` 1.5 and not 1.01 (a batch is 200 rows and not 1,000),
///         no best weights restored.
class GateOn : public GradientLearner {
 public:
  static constexpr const char* kSummary =
      "tasks in sequence: gates by context, and used neurons are protected";
  static constexpr const char* kSource = "GateON, arXiv 2306.01690";
  struct Options : GradientLearnerOptions {
    std::string context = "given";
    bool protects = true;
    double rate = 0.01, epsilon = 0, change = 1.5;
    int64_t recent = 20;
    void fields(OptionVisitor& v) override {
      GradientLearnerOptions::fields(v);
      v.text("context", context, "told by the field \"domain\", or inferred", {"given", "inferred"});
      v.flag("protects", protects, "neurons that a task used are protected from the next");
      v.real("rate", rate, "by which used neurons become unavailable with every step", 0, 1);
      v.real("epsilon", epsilon, "relevance below which they become available again", 0, 100);
      v.real("change", change, "factor on the recent loss that ends a task, where contexts are inferred", 1,
             1e6);
      v.integer("recent", recent, "windows of that mean, and the least of a task", 2, 100000);
    }
  };

  GateOn(const Options& options, const Context&) : GradientLearner(options), o_(options) {}

  void begin(const LearnerSetup& setup) override {
    GradientLearner::begin(setup);
    neurons_ = dynamic_cast<WatchedNeurons*>(&model());
    GW_CHECK(neurons_ != nullptr,
             "learners/gateon: expected a network whose neurons are watched, got another; take gated_mlp");
    guard_.emplace(neurons_->hidden_layers(), o_.rate, o_.epsilon);
    losses_.assign(1, {});
  }

  Answered answer(const Batch& batch, const Rng& rng) override {
    if (!inferred() || losses_.size() == 1) return GradientLearner::answer(under(batch, 0), rng);
    Answered best;
    double least = 0;
    for (size_t c = 0; c < losses_.size(); ++c) {
      auto one = GradientLearner::answer(under(batch, static_cast<int64_t>(c)), rng);
      const auto log_p = at::log_softmax(one.output.answer, 1);
      const double entropy = -(log_p.exp() * log_p).sum(1).mean().item<double>();
      if (c == 0 || entropy < least) least = entropy, best = std::move(one);
    }
    return best;
  }

  LearnerNews learn(const Answered& answered, const StreamMoment& moment) override {
    const auto& batch = answered.batch;
    const bool alarm = inferred() && changed(batch, moment.rng);
    const double loss = take_steps(under(batch, context_), moment.rng, 1);
    if (!inferred() && moment.last_of_task) end_task();
    return {
        {{"train_loss", loss}, {"contexts", static_cast<double>(losses_.size())}, {"taken", guard_->taken()}},
        alarm};
  }

  std::vector<std::string> reports() const override { return {"train_loss", "contexts", "taken"}; }

 protected:
  double step(const Batch& batch, const Rng& rng, double lr) override {
    Pass pass;
    pass.rng = rng, pass.train = true;
    std::vector<at::Tensor> hidden;
    const auto loss = task().loss(neurons_->watched_answer(batch, pass, hidden), batch);
    auto wanted = optimizer().values();
    const auto parameters = static_cast<int64_t>(wanted.size());
    wanted.insert(wanted.end(), hidden.begin(), hidden.end());
    auto gradients = parameter_gradients(loss, wanted, "loss");
    guard_->note(hidden, {gradients.begin() + parameters, gradients.end()});
    gradients.resize(static_cast<size_t>(parameters));
    const auto before = o_.protects ? guard_->before() : std::vector<at::Tensor>();
    optimizer().step(gradients, lr);
    if (o_.protects) guard_->restrain(before);
    return loss.item<double>();
  }

 private:
  bool inferred() const { return o_.context == "inferred"; }

  /// The batch as one of the context; of a given context as it is.
  Batch under(const Batch& batch, int64_t context) const {
    if (!inferred()) return batch;
    auto own = batch;
    own.fields["domain"] = at::full({batch.size()}, context, at::kLong);
    return own;
  }

  double loss_under(const Batch& batch, int64_t context, const Rng& rng) {
    const auto one = GradientLearner::answer(under(batch, context), rng);
    return task().loss(one.output, one.batch).item<double>();
  }

  static double mean(const std::deque<double>& values) {
    double sum = 0;
    for (const double value : values) sum += value / static_cast<double>(values.size());
    return sum;
  }

  /// Whether the window begins another task; the context is then that of the new one.
  bool changed(const Batch& batch, const Rng& rng) {
    const double now = loss_under(batch, context_, rng);
    auto& own = losses_[static_cast<size_t>(context_)];
    const bool settled = static_cast<int64_t>(own.size()) >= o_.recent && since_ >= o_.recent;
    if (!settled || now <= o_.change * mean(own)) {
      own.push_back(now);
      if (static_cast<int64_t>(own.size()) > o_.recent) own.pop_front();
      ++since_;
      return false;
    }
    end_task();
    since_ = 0;
    int64_t next = 0;
    const auto known = static_cast<int64_t>(losses_.size());
    while (next < known &&
           (next == context_ || losses_[static_cast<size_t>(next)].empty() ||
            loss_under(batch, next, rng) > o_.change * mean(losses_[static_cast<size_t>(next)])))
      ++next;
    GW_CHECK(next < neurons_->contexts(),
             "learners/gateon: expected at most {} tasks, one for each context of the network, got another; "
             "raise \"contexts\", or \"change\" if tasks are found that are none",
             neurons_->contexts());
    if (next == known) losses_.emplace_back();
    context_ = next;
    return true;
  }

  void end_task() {
    guard_->commit();
    restart_optimizer();
  }

  Options o_;
  WatchedNeurons* neurons_ = nullptr;
  std::optional<NeuronGuard> guard_;
  std::vector<std::deque<double>> losses_;  ///< of each known context, the recent ones
  int64_t context_ = 0, since_ = 0;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Learner, gw::GateOn);
