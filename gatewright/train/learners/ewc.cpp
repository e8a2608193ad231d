#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/registry.h"
#include "gatewright/train/gradient_learner.h"

namespace gw::inline train {
namespace {

/// A sequence of tasks without replay: weights that mattered are held where they were.
/// Math:   loss + strength / 2 · Σ_k F_k (θ − θ_k)², θ_k the weights at the end of task k, F_k the mean of
/// the
///         squared gradients of single batches, times their rows, as an exponential mean over the steps of
///         the task: in place of a pass over single examples.
/// The optimizer begins anew with every task, whose ends are told.
/// Source: Kirkpatrick et al. 2017, arXiv 1612.00796; differs in how F is estimated.
class Ewc : public GradientLearner {
 public:
  static constexpr const char* kSummary = "tasks in sequence: weights that mattered are held where they were";
  static constexpr const char* kSource = "Kirkpatrick et al. 2017, arXiv 1612.00796";
  struct Options : GradientLearnerOptions {
    double strength = 100, newest = 0.05;
    void fields(OptionVisitor& v) override {
      GradientLearnerOptions::fields(v);
      v.real("strength", strength, "with which weights are held", 0, 1e9);
      v.real("newest", newest, "weight of the newest step in the mean of squared gradients", 1e-4, 1);
    }
  };

  Ewc(const Options& options, const Context&) : GradientLearner(options), o_(options) {}

  LearnerNews learn(const Answered& answered, const StreamMoment& moment) override {
    auto news = GradientLearner::learn(answered, moment);
    if (moment.last_of_task) end_task();
    return news;
  }

 protected:
  double step(const Batch& batch, const Rng& rng, double lr) override {
    Pass pass;
    pass.rng = rng, pass.train = true;
    const auto one = answer_for(task(), model(), batch, pass, true);
    const auto loss = task().loss(one.output, one.batch);
    const auto values = optimizer().values();
    auto gradients = parameter_gradients(loss, values, "loss");
    const at::NoGradGuard no_grad;
    squares_.resize(values.size());
    for (size_t p = 0; p < values.size(); ++p) {
      if (!gradients[p].defined()) continue;
      const auto square = gradients[p].square() * static_cast<double>(batch.size());
      squares_[p] = squares_[p].defined() ? squares_[p] * (1 - o_.newest) + square * o_.newest : square;
      for (const auto& held : held_) {
        if (held.fisher[p].defined())
          gradients[p] = gradients[p] + o_.strength * held.fisher[p] * (values[p] - held.values[p]);
      }
    }
    optimizer().step(gradients, lr);
    return loss.item<double>();
  }

 private:
  struct Held {
    std::vector<at::Tensor> fisher, values;
  };

  void end_task() {
    Held held{squares_, {}};
    for (const auto& value : optimizer().values()) held.values.push_back(value.detach().clone());
    held_.push_back(std::move(held));
    squares_.clear();
    restart_optimizer();
  }

  Options o_;
  std::vector<at::Tensor> squares_;
  std::vector<Held> held_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Learner, gw::Ewc);
