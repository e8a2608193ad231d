#include "gatewright/runs/exit_trials.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "gatewright/base/check.h"
#include "gatewright/data/loader.h"
#include "gatewright/ops/frozen.h"
#include "gatewright/runs/measured_arm.h"
#include "gatewright/train/answers.h"
#include "gatewright/train/timing.h"

namespace gw::inline runs {
namespace {

constexpr int64_t kThresholds = 60;
constexpr int64_t kTimedExits[] = {1, 128};

/// Accuracy, cost and calibration of one way to leave.
struct Point {
  double cost, accuracy, ece;
};

Point point_of(const EarlyExits& exits, const ExitFeatures& test, const ExitRule& rule) {
  const auto answer = exits.answer(test, rule);
  const auto costs = at::tensor(exits.costs(), at::kDouble).index_select(0, answer.exit);
  return {costs.mean().item<double>(), share_right(answer.logits, test.label),
          calibration_error(answer.logits, test.label)};
}

std::vector<double> thresholds() {
  std::vector<double> out;  // from strict to lax, dense near 1
  for (int64_t i = 0; i < kThresholds; ++i)
    out.push_back(1 - std::pow(10.0, -4 + 4 * static_cast<double>(i) / static_cast<double>(kThresholds - 1)));
  return out;
}

/// Points in ascending order of cost.
std::vector<Point> by_cost(std::vector<Point> points) {
  std::sort(points.begin(), points.end(), [](const Point& a, const Point& b) { return a.cost < b.cost; });
  return points;
}

/// A value between two neighbours; nan outside the curve.
double at_cost(const std::vector<Point>& points, double cost, double Point::*value) {
  for (size_t i = 1; i < points.size(); ++i) {
    if (points[i - 1].cost > cost || points[i].cost < cost) continue;
    const double wide = points[i].cost - points[i - 1].cost;
    const double t = wide > 0 ? (cost - points[i - 1].cost) / wide : 0;
    return points[i - 1].*value + t * (points[i].*value - points[i - 1].*value);
  }
  return std::numeric_limits<double>::quiet_NaN();
}

/// Mean accuracy over costs from `low` to `high`.
double mean_accuracy(const std::vector<Point>& points, double low, double high) {
  constexpr int kSteps = 100;
  double sum = 0;
  for (int i = 0; i <= kSteps; ++i)
    sum += at_cost(points, low + (high - low) * i / kSteps, &Point::accuracy) / (kSteps + 1);
  return sum;
}

Curve curve_of(const std::vector<Point>& points) {
  Curve curve{"cost", {}, {}};
  for (const auto& p : points) curve.x.push_back(p.cost), curve.y.push_back(p.accuracy);
  return curve;
}

/// Seconds for an image of the test: with exits, and of the same network whole, in turns. Single images
/// leave at different stages, so that their mean counts; batches are alike, and their median does.
std::pair<double, double> timed_exits(const EarlyExits& exits, Model& model, const TensorSet& test,
                                      int64_t size, int64_t rounds, const std::function<double()>& now_s) {
  const at::NoGradGuard no_grad;
  const ops::FrozenParameters constant;
  const int64_t together = std::min(size, test.size()), turns = size == 1 ? 10 * rounds : rounds;
  const Loader loader(test, together, {}, false, Rng(0));
  std::vector<Batch> batches;
  for (int64_t b = 0; b < turns; ++b) batches.push_back(loader.get(0, b % (test.size() / together)));
  Pass evaluation;
  evaluation.train = false;
  const auto times = time_in_turns(
      [&](int64_t turn) { exits.answer(batches[static_cast<size_t>(turn)], gate_rule()); },
      [&](int64_t turn) { model.answer(batches[static_cast<size_t>(turn)], evaluation); }, turns, now_s);
  const auto typical = [&](const std::vector<double>& seconds) {
    const double sum = std::accumulate(seconds.begin(), seconds.end(), 0.0);
    return size == 1 ? sum / static_cast<double>(seconds.size())
                     : median_of(seconds) / static_cast<double>(together);
  };
  return {typical(times.first), typical(times.second)};
}

/// What each exit does, by a rule.
ValueTable exit_table(const EarlyExits& exits, const ExitFeatures& test, const ExitRule& rule) {
  const auto answer = exits.answer(test, rule);
  const auto right = answer.logits.argmax(1).eq(test.label);
  ValueTable table{"exit", {"share", "accuracy", "cost"}, {}, {}};
  for (int64_t e = 0; e <= exits.exits(); ++e) {
    const auto here = answer.exit.eq(e);
    const double count = here.sum().item<double>(), n = static_cast<double>(here.numel());
    const double good = (right & here).sum().item<double>();
    table.names.push_back(e < exits.exits() ? "exit " + std::to_string(e + 1) : "end");
    table.values.push_back({count / n, count > 0 ? good / count : std::numeric_limits<double>::quiet_NaN(),
                            exits.costs()[static_cast<size_t>(e)]});
  }
  return table;
}

/// One set of trials.
class Trials {
 public:
  Trials(const std::shared_ptr<Model>& model, const ExitTrialData& data, const ExitTrialOptions& options,
         uint64_t seed, const ArmRun& run)
      : model_(model), data_(data), o_(options), seed_(seed), run_(run) {
    const EarlyExits exits(model, options, seed);
    const auto tick = stopping(run, "looking at the examples");
    train_ = exits.features(data.train, tick), held_out_ = exits.features(data.validation, tick),
    test_ = exits.features(data.test, tick);
    out_.metrics["full_accuracy"] = share_right(test_.final_logits, test_.label);
  }

  ExitTrialResult all() {
    const auto alone = by_threshold();
    std::vector<Point> joint;
    std::vector<double> costs;
    auto prices = o_.prices;
    std::sort(prices.begin(), prices.end());
    for (const double price : prices) {
      const auto exits = trained(price);
      joint.push_back(point_of(*exits, test_, gate_rule())), costs.push_back(joint.back().cost);
    }
    bool falls = true;
    for (size_t i = 1; i < costs.size(); ++i) falls = falls && costs[i] < costs[i - 1];
    out_.metrics["falls"] = falls ? 1 : 0;
    compare(by_cost(joint), alone);
    chosen();
    return std::move(out_);
  }

 private:
  Rng rng() const { return Rng(seed_).fork("runs/exit_trials"); }

  std::shared_ptr<EarlyExits> trained(double price) const {
    stopping(run_, "trying exits")(0, 0);
    auto exits = std::make_shared<EarlyExits>(model_, o_, seed_);
    exits->train_heads(train_, o_, rng().fork("warm"));
    exits->train_jointly(train_, price, o_, rng().fork("jointly"));
    return exits;
  }

  /// Exits that are trained alone for as many epochs, and left by their confidence.
  std::vector<Point> by_threshold() {
    auto longer = o_;
    longer.warm_epochs += longer.epochs;
    EarlyExits exits(model_, o_, seed_);
    exits.train_heads(train_, longer, rng().fork("warm"));
    std::vector<Point> points;
    for (const double threshold : thresholds())
      points.push_back(point_of(exits, test_, confidence_rule({threshold})));
    const double bounded = calibrated_threshold(exits, held_out_, thresholds(), o_.bound, o_.confidence);
    const auto answer = exits.answer(test_, confidence_rule({bounded}));
    const auto left = answer.exit.lt(exits.exits());
    const auto point = point_of(exits, test_, confidence_rule({bounded}));
    out_.metrics["calibrated.accuracy"] = point.accuracy, out_.metrics["calibrated.cost"] = point.cost;
    out_.metrics["calibrated.left"] = left.to(at::kDouble).mean().item<double>();
    if (left.any().item<bool>())
      out_.metrics["calibrated.error"] =
          answer.logits.argmax(1).ne(test_.label).masked_select(left).to(at::kDouble).mean().item<double>();
    return by_cost(points);
  }

  void compare(const std::vector<Point>& joint, const std::vector<Point>& alone) {
    out_.curves["accuracy"] = curve_of(joint), out_.curves["threshold.accuracy"] = curve_of(alone);
    const double low = std::max(joint.front().cost, alone.front().cost),
                 high = std::min(joint.back().cost, alone.back().cost);
    const auto note = [&](const std::string& before, const std::vector<Point>& points) {
      const std::pair<const char*, double> values[] = {
          {"area", low < high ? mean_accuracy(points, low, high) : std::numeric_limits<double>::quiet_NaN()},
          {"accuracy_at", at_cost(points, o_.at_cost, &Point::accuracy)},
          {"ece_at", at_cost(points, o_.at_cost, &Point::ece)}};
      for (const auto& [name, value] : values) {
        if (std::isfinite(value)) out_.metrics[before + name] = value;
      }
    };
    note("", joint), note("threshold.", alone);
  }

  void chosen() {
    const auto exits = trained(o_.price);
    const auto point = point_of(*exits, test_, gate_rule());
    out_.metrics["exit_accuracy"] = point.accuracy, out_.metrics["cost"] = point.cost;
    out_.tables["exits"] = exit_table(*exits, test_, gate_rule());
    if (!run_.now_s || run_.timing_rounds == 0) return;
    const auto alone = run_.alone ? run_.alone() : nullptr;
    for (const int64_t size : kTimedExits) {
      const auto [with, whole] =
          timed_exits(*exits, *model_, data_.test, size, run_.timing_rounds, run_.now_s);
      const auto served = milliseconds_per_example({model_.get()}, size, run_.timing_rounds, run_.now_s)[0];
      out_.metrics[fmt::format("time_ratio.{}", size)] = with / whole;
      out_.metrics[fmt::format("compiled_ratio.{}", size)] = 1000 * with / served;
    }
  }

  std::shared_ptr<Model> model_;
  const ExitTrialData& data_;
  const ExitTrialOptions& o_;
  uint64_t seed_;
  const ArmRun& run_;
  ExitFeatures train_, held_out_, test_;
  ExitTrialResult out_;
};

}  // namespace

void ExitTrialOptions::fields(OptionVisitor& v) {
  ExitOptions::fields(v);
  v.reals("prices", prices, "of the whole cost, in nats: one training of the gates each", 0, 1e6);
  v.real("price", price, "at which the clock is read", 0, 1e6);
  v.real("at_cost", at_cost, "at which accuracies are compared", 0, 2);
  v.real("bound", bound, "on the error of those that leave early, of the calibrated threshold", 1e-6, 0.999);
  v.real("confidence", confidence, "with which it holds", 0.5, 0.999999);
}

ExitTrialResult try_exits(const std::shared_ptr<Model>& model, const ExitTrialData& data,
                          const ExitTrialOptions& options, uint64_t seed, const ArmRun& run) {
  GW_CHECK(data.validation.size() > 0,
           "arms/early_exit: expected held-out examples of the training, got none; set validation there");
  return Trials(model, data, options, seed, run).all();
}

LeftNames exit_trial_names() {
  LeftNames names;
  names.metrics = {"full_accuracy",
                   "exit_accuracy",
                   "cost",
                   "falls",
                   "area",
                   "accuracy_at",
                   "ece_at",
                   "threshold.area",
                   "threshold.accuracy_at",
                   "threshold.ece_at",
                   "calibrated.accuracy",
                   "calibrated.cost",
                   "calibrated.left",
                   "calibrated.error"};
  for (const int64_t size : kTimedExits) {
    names.metrics.push_back(fmt::format("time_ratio.{}", size));
    names.metrics.push_back(fmt::format("compiled_ratio.{}", size));
  }
  names.curves = {"accuracy", "threshold.accuracy"}, names.tables = {"exits"};
  return names;
}

}  // namespace gw::inline runs
