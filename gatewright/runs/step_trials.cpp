#include "gatewright/runs/step_trials.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/models/steps.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/frozen.h"
#include "gatewright/runs/measured_arm.h"

namespace gw::inline runs {
namespace {

/// The tokens of one domain one behind the other.
at::Tensor stream_of(const TensorSet& test, int64_t domain) {
  auto token = test.at("token");
  if (test.has("domain")) {
    const auto rows = test.at("domain").eq(domain).nonzero().flatten();
    GW_CHECK(rows.numel() > 0, "arms/continual: expected test sequences of domain {}, got none", domain);
    token = token.index_select(0, rows);
  }
  return token.reshape({-1});
}

double middle(std::vector<double> seconds) {
  const auto at = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), at, seconds.end());
  return *at;
}

class StepTrials {
 public:
  StepTrials(Model& model, Steppable& steps, const at::Tensor& stream, const StepTrialOptions& options,
             const ArmRun& run)
      : model_(model),
        steps_(steps),
        field_(steps.receptive_field()),
        run_(run),
        windows_(stream.narrow(0, 0, field_ + options.steps - 1).unfold(0, field_, 1)),
        stream_(stream) {}

  std::map<std::string, double> all() {
    out_["delay"] = static_cast<double>(steps_.delay());
    out_["receptive_field"] = static_cast<double>(field_);
    compare();
    count();
    measure_times();
    return std::move(out_);
  }

 private:
  /// The answer of the model to windows [n, field]: that of the token that a step would answer.
  at::Tensor answer(const at::Tensor& window) {
    Batch batch;
    batch.fields["token"] = window.contiguous();
    batch.index = at::arange(window.size(0), at::kLong);
    Pass evaluation;
    evaluation.train = false;
    const auto y = model_.answer(batch, evaluation).answer;
    return y.dim() == 3 ? y.select(1, field_ - 1 - steps_.delay()) : y;
  }

  at::Tensor token(int64_t t) const { return stream_.narrow(0, t, 1); }

  void compare() {
    const auto tick = stopping(run_, "going through the stream");
    auto session = steps_.open_steps();
    std::vector<at::Tensor> by_step, by_window;
    const int64_t n = windows_.size(0);
    for (int64_t t = 0; t < field_ + n - 1; ++t) {
      const auto y = session->step(token(t));
      if (t < field_ - 1) continue;
      by_step.push_back(y), by_window.push_back(answer(windows_.narrow(0, t - field_ + 1, 1)));
      tick(t, field_ + n - 1);
    }
    const auto a = at::cat(by_step), b = at::cat(by_window);
    out_["difference"] = ((a - b).abs().max() / b.abs().max()).item<double>();
    out_["agreement"] = a.argmax(1).eq(b.argmax(1)).to(at::kDouble).mean().item<double>();
  }

  /// A session that has met a whole receptive field, and as much again: what windows hold is then full.
  std::unique_ptr<StepSession> warm() {
    auto session = steps_.open_steps();
    for (int64_t t = 0; t < 2 * field_; ++t) session->step(token(t % stream_.numel()));
    return session;
  }

  void count() {
    auto session = warm();
    const auto counted = [](const auto& body) {
      const ops::CostRecorder recorder;
      body();
      return static_cast<double>(recorder.macs());
    };
    out_["macs_step"] = counted([&] { session->step(token(0)); });
    out_["macs_window"] = counted([&] { answer(windows_.narrow(0, 0, 1)); });
    out_["macs_ratio"] = out_["macs_step"] / out_["macs_window"];
  }

  void measure_times() {
    if (!run_.now_s || run_.timing_rounds == 0) return;
    const auto alone = run_.alone ? run_.alone() : nullptr;
    const ops::FrozenParameters constant;
    constexpr int64_t kStepsForAWindow = 10;
    auto session = warm();
    answer(windows_.narrow(0, 0, 1));
    std::vector<double> step, window;
    for (int64_t r = 0; r < run_.timing_rounds; ++r) {
      for (int64_t i = 0; i < kStepsForAWindow; ++i) {
        const auto next = token((r * kStepsForAWindow + i) % stream_.numel());
        const double from = run_.now_s();
        session->step(next);
        step.push_back(run_.now_s() - from);
      }
      const auto one = windows_.narrow(0, r % windows_.size(0), 1);
      const double from = run_.now_s();
      answer(one);
      window.push_back(run_.now_s() - from);
    }
    out_["ms_step"] = 1e3 * middle(step), out_["ms_window"] = 1e3 * middle(window);
    out_["time_ratio"] = out_["ms_step"] / out_["ms_window"];
    out_["speedup"] = out_["ms_window"] / out_["ms_step"];
  }

  Model& model_;
  Steppable& steps_;
  int64_t field_;
  const ArmRun& run_;
  at::Tensor windows_, stream_;
  std::map<std::string, double> out_;
};

}  // namespace

void StepTrialOptions::fields(OptionVisitor& v) {
  v.integer("steps", steps, "answers that are compared", 1, 1 << 24);
  v.integer("domain", domain, "whose test sequences are the stream", 0, INT64_MAX);
}

std::map<std::string, double> try_steps(Model& model, const TensorSet& test, const StepTrialOptions& options,
                                        const ArmRun& run) {
  auto* steps = dynamic_cast<Steppable*>(&model);
  GW_CHECK(steps != nullptr,
           "arms/continual: expected a network that answers step by step, got another; take continual");
  const at::NoGradGuard no_grad;
  model.eval();
  const auto stream = stream_of(test, options.domain);
  const int64_t wanted = steps->receptive_field() + options.steps - 1;
  GW_CHECK(stream.numel() >= wanted,
           "arms/continual: expected a stream of at least {} tokens for {} steps behind a receptive field of "
           "{}, got {}; lower \"steps\" or give more test data",
           wanted, options.steps, steps->receptive_field(), stream.numel());
  return StepTrials(model, *steps, stream, options, run).all();
}

std::vector<std::string> step_trial_metrics() {
  return {"difference", "agreement", "delay",     "receptive_field", "macs_step", "macs_window",
          "macs_ratio", "ms_step",   "ms_window", "time_ratio",      "speedup"};
}

}  // namespace gw::inline runs
