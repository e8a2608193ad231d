#include "gatewright/train/early_exits.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/loader.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/random.h"
#include "gatewright/train/deferral.h"
#include "gatewright/train/optimizer.h"

namespace gw::inline train {
namespace {

/// Four numbers [B, 4] that say how sure logits are.
at::Tensor sureness_statistics(const at::Tensor& logits) {
  const auto entropy = [](const at::Tensor& p) { return -(p * p.clamp_min(1e-12).log()).sum(1); };
  const auto p = at::softmax(logits.detach(), 1);
  const auto two = std::get<0>(p.topk(2, 1));
  const auto squared = p.square() / p.square().sum(1, true);
  return at::stack({two.select(1, 0), entropy(p), two.select(1, 0) - two.select(1, 1), entropy(squared)}, 1);
}

/// P_l of gate scores [B, L], without the rest of the mass, which goes to the end: [B, L].
at::Tensor leaving(const at::Tensor& scores) {
  const auto g = at::sigmoid(scores);
  return at::min(g, 1 - (g.cumsum(1) - g)).clamp_min(0);
}

ExitFeatures some_rows(const ExitFeatures& all, const at::Tensor& rows) {
  ExitFeatures out{{}, all.final_logits.index_select(0, rows), all.label.index_select(0, rows)};
  for (const auto& pooled : all.pooled) out.pooled.push_back(pooled.index_select(0, rows));
  return out;
}

/// body(step, batch, learning rate) for every batch of so many epochs, each in an order of its own.
void each_step(const ExitFeatures& all, const ExitOptions& o, int64_t epochs, const Rng& rng,
               const std::function<void(int64_t, const ExitFeatures&, double)>& body) {
  constexpr double kPi = 3.14159265358979323846, kLast = 0.02;
  const at::AutoGradMode recorded(true);
  const int64_t n = all.label.numel(), steps = (n + o.batch - 1) / o.batch;
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    const auto order = at::tensor(rng.fork("epoch", static_cast<uint64_t>(epoch)).permutation(n), at::kLong);
    for (int64_t s = 0; s < steps; ++s) {
      const int64_t step = epoch * steps + s;
      const double t = static_cast<double>(step) / static_cast<double>(epochs * steps);
      const double lr = o.lr * (kLast + (1 - kLast) * (1 + std::cos(kPi * t)) / 2);
      body(step, some_rows(all, order.slice(0, s * o.batch, (s + 1) * o.batch)), lr);
    }
  }
}

std::shared_ptr<Optimizer> descent(const std::vector<NamedParameter>& parameters) {
  return make_part<Optimizer>("sgd", {{"momentum", 0.9}, {"weight_decay", 5e-4}}, {parameters});
}

void descend(Optimizer& optimizer, const at::Tensor& loss, double lr) {
  optimizer.step(torch::autograd::grad({loss}, optimizer.values()), lr);
}

}  // namespace

void ExitOptions::fields(OptionVisitor& v) {
  v.reals("after", after, "stages after which an exit stands, from 0; empty: all but the last", 0, 1e4);
  v.integer("warm_epochs", warm_epochs, "of the classifiers, before the gates", 0, 100000);
  v.integer("epochs", epochs, "of classifiers and gates in turns", 0, 100000);
  v.integer("alternate", alternate, "steps of a turn", 1, 1000000);
  v.integer("batch", batch, "examples of a step", 2, 1000000);
  v.real("lr", lr, "learning rate, cosine over each of the two trainings", 1e-6, 10);
  v.text("weighting", weighting, "of the exits' losses by where rows leave; cancelling: as published",
         {"detached", "cancelling"});
}

EarlyExits::EarlyExits(std::shared_ptr<Model> model, const ExitOptions& options, uint64_t seed)
    : torch::nn::Module("EarlyExits"), model_(std::move(model)), stages_(stages_of(model_)) {
  const int64_t stages = stages_->stages();
  for (const double stage : options.after) after_.push_back(static_cast<int64_t>(stage));
  for (int64_t s = 0; options.after.empty() && s + 1 < stages; ++s) after_.push_back(s);
  for (size_t i = 0; i < after_.size(); ++i)
    GW_CHECK(after_[i] + 1 < stages && (i == 0 || after_[i] > after_[i - 1]),
             "early_exits: expected stages that ascend and lie below the last of {}, got {}", stages,
             after_[i]);
  GW_CHECK(!after_.empty(), "early_exits: expected a network of at least two stages, got {}", stages);
  const at::NoGradGuard no_grad;
  const Rng rng = Rng(seed).fork("train/early_exits");
  auto rows = stages_->begin(model_->example(1, rng));
  std::vector<int64_t> widths;
  for (int64_t s = 0; s < stages; ++s) {
    rows = stages_->stage(s, rows);
    if (widths.size() < after_.size() && s == after_[widths.size()])
      widths.push_back(stages_->means(rows).size(1));
  }
  classes_ = stages_->finish(rows).size(1);
  for (size_t exit = 0; exit < widths.size(); ++exit) {
    const auto name = std::to_string(exit);
    const double scale = 1 / std::sqrt(static_cast<double>(widths[exit]));
    weight_.push_back(register_parameter(
        "weight" + name, ops::uniform(rng.fork("head", exit), {classes_, widths[exit]}, -scale, scale)));
    bias_.push_back(register_parameter("bias" + name, at::zeros({classes_})));
    gate_.push_back(register_parameter("gate" + name, at::zeros({4})));
    gate_bias_.push_back(register_parameter("gate_bias" + name, at::zeros({1})));
  }
  count_costs();
}

void EarlyExits::count_costs() {
  const at::NoGradGuard no_grad;
  auto rows = stages_->begin(model_->example(1, Rng(0)));
  double total = 0, on_the_way = 0;
  size_t exit = 0;
  for (int64_t s = 0; s < stages_->stages(); ++s) {
    const ops::CostRecorder recorder;
    rows = stages_->stage(s, rows);
    total += static_cast<double>(recorder.macs());
    if (exit >= after_.size() || s != after_[exit]) continue;
    on_the_way += static_cast<double>(weight_[exit].numel() + gate_[exit].numel());
    costs_.push_back(total + on_the_way);
    ++exit;
  }
  const ops::CostRecorder recorder;
  stages_->finish(rows);
  total += static_cast<double>(recorder.macs());
  costs_.push_back(total + on_the_way);
  for (auto& cost : costs_) cost /= total;
}

at::Tensor EarlyExits::logits(int64_t exit, const at::Tensor& pooled) const {
  const auto e = static_cast<size_t>(exit);
  return at::addmm(bias_.at(e), pooled, weight_.at(e).t());
}

at::Tensor EarlyExits::gate_score(int64_t exit, const at::Tensor& logits) const {
  const auto e = static_cast<size_t>(exit);
  return sureness_statistics(logits).matmul(gate_.at(e)) + gate_bias_.at(e);
}

at::Tensor EarlyExits::scores(const ExitFeatures& features) const {
  std::vector<at::Tensor> columns;
  for (int64_t e = 0; e < exits(); ++e)
    columns.push_back(gate_score(e, logits(e, features.pooled.at(static_cast<size_t>(e)))));
  columns.push_back(at::zeros_like(columns[0]));
  return at::stack(columns, 1);
}

ExitFeatures EarlyExits::features(const TensorSet& set, const Tick& tick) const {
  constexpr int64_t kTogether = 250;
  const at::NoGradGuard no_grad;
  const Loader loader(set, kTogether, {}, false, Rng(0));
  std::vector<std::vector<at::Tensor>> pooled(after_.size());
  std::vector<at::Tensor> last;
  for (int64_t b = 0; b < loader.batches(); ++b) {
    auto rows = stages_->begin(loader.get(0, b));
    size_t exit = 0;
    for (int64_t s = 0; s < stages_->stages(); ++s) {
      rows = stages_->stage(s, rows);
      if (exit < after_.size() && s == after_[exit]) pooled[exit++].push_back(stages_->means(rows));
    }
    last.push_back(stages_->finish(rows));
    if (tick) tick(std::min((b + 1) * kTogether, set.size()), set.size());
  }
  ExitFeatures out{{}, at::cat(last), set.at("label")};
  for (const auto& parts : pooled) out.pooled.push_back(at::cat(parts));
  return out;
}

at::Tensor EarlyExits::losses(const ExitFeatures& features) const {
  std::vector<at::Tensor> columns;
  for (int64_t e = 0; e < exits(); ++e)
    columns.push_back(at::cross_entropy_loss(logits(e, features.pooled.at(static_cast<size_t>(e))),
                                             features.label, {}, at::Reduction::None));
  return at::stack(columns, 1);
}

void EarlyExits::train_heads(const ExitFeatures& features, const ExitOptions& o, const Rng& rng) {
  const auto optimizer = descent(named("head", weight_, bias_));
  const auto weight = at::arange(exits(), 0, -1, at::kFloat);  // L − l of exit l = 1 … L − 1
  each_step(features, o, o.warm_epochs, rng, [&](int64_t, const ExitFeatures& batch, double lr) {
    descend(*optimizer, losses(batch).mean(0).dot(weight), lr);
  });
}

std::vector<NamedParameter> EarlyExits::named(const std::string& name, const std::vector<at::Tensor>& weights,
                                              const std::vector<at::Tensor>& biases) {
  std::vector<NamedParameter> out;
  for (size_t e = 0; e < weights.size(); ++e) {
    out.push_back({name + std::to_string(e), weights[e]});
    out.push_back({name + "_bias" + std::to_string(e), biases[e]});
  }
  return out;
}

at::Tensor EarlyExits::targets(const ExitFeatures& features, double price) const {
  const at::NoGradGuard no_grad;
  const auto last = at::cross_entropy_loss(features.final_logits, features.label, {}, at::Reduction::None);
  const auto cost = at::tensor(costs_, at::kDouble).to(at::kFloat) * price;
  const auto best = (at::cat({losses(features), last.unsqueeze(1)}, 1) + cost).argmin(1, true);
  return at::arange(exits(), at::kLong).ge(best).to(at::kFloat);
}

void EarlyExits::train_jointly(const ExitFeatures& features, double price, const ExitOptions& o,
                               const Rng& rng) {
  const auto heads = descent(named("head", weight_, bias_)),
             gates = descent(named("gate", gate_, gate_bias_));
  at::Tensor positive;  // weights of the targets 1, of each exit
  each_step(features, o, o.epochs, rng, [&](int64_t step, const ExitFeatures& batch, double lr) {
    const bool heads_turn = step / o.alternate % 2 == 0;
    if (heads_turn) {
      const auto loss = losses(batch);
      const auto weighted = (leaving(scores(batch).narrow(1, 0, exits())).detach() * loss).sum(1);
      auto factor = loss.sum(1) / weighted.clamp_min(1e-12);
      if (o.weighting == "detached") factor = factor.detach();
      descend(*heads, (factor * weighted).mean() / static_cast<double>(exits()), lr);
      return;
    }
    if (step % o.alternate == 0 || !positive.defined()) {
      const auto share = targets(features, price).mean(0);
      positive = ((1 - share) / share).clamp_max(5);
    }
    const auto scored = scores(batch).narrow(1, 0, exits());
    descend(*gates, at::binary_cross_entropy_with_logits(scored, targets(batch, price), {}, positive), lr);
  });
}

EarlyExits::Answer EarlyExits::answer(const Batch& batch, const ExitRule& rule) const {
  const at::NoGradGuard no_grad;
  auto rows = stages_->begin(batch);
  const int64_t count = rows.size();
  auto place = at::arange(count, at::kLong);
  Answer out{at::zeros({count, classes_}), at::full({count}, exits(), at::kLong)};
  at::Tensor scores;
  size_t exit = 0;
  for (int64_t s = 0; s < stages_->stages() && rows.size() > 0; ++s) {
    rows = stages_->stage(s, rows);
    if (exit >= after_.size() || s != after_[exit]) continue;
    const auto said = logits(static_cast<int64_t>(exit), stages_->means(rows));
    const auto score = gate_score(static_cast<int64_t>(exit), said).unsqueeze(1);
    scores = scores.defined() ? at::cat({scores, score}, 1) : score;
    const auto leaves = rule(static_cast<int64_t>(exit), scores, said);
    const auto gone = leaves.nonzero().view({-1});
    if (gone.numel() > 0) {
      const auto stays = leaves.logical_not().nonzero().view({-1}), left = place.index_select(0, gone);
      out.logits.index_copy_(0, left, said.index_select(0, gone));
      out.exit.index_fill_(0, left, static_cast<int64_t>(exit));
      place = place.index_select(0, stays), scores = scores.index_select(0, stays);
      rows = rows.at(stays);
    }
    ++exit;
  }
  if (rows.size() > 0) out.logits.index_copy_(0, place, stages_->finish(rows));
  return out;
}

EarlyExits::Answer EarlyExits::answer(const ExitFeatures& features, const ExitRule& rule) const {
  const at::NoGradGuard no_grad;
  Answer out{features.final_logits.clone(), at::full({features.label.numel()}, exits(), at::kLong)};
  const auto all = scores(features);
  for (int64_t e = exits() - 1; e >= 0; --e) {  // an earlier exit overrules
    const auto said = logits(e, features.pooled[static_cast<size_t>(e)]);
    const auto leaves = rule(e, all.narrow(1, 0, e + 1), said);
    out.logits = at::where(leaves.unsqueeze(1), said, out.logits);
    out.exit = out.exit.masked_fill(leaves, e);
  }
  return out;
}

ExitRule gate_rule() {
  return [](int64_t exit, const at::Tensor& scores, const at::Tensor&) {
    const auto p = leaving(scores);
    const auto open = 1 - (p.sum(1) - p.select(1, exit));  // the mass that has not left: Π (1 − q_j)
    return (open <= 0).logical_or(p.select(1, exit) >= 0.5 * open);
  };
}

ExitRule confidence_rule(std::vector<double> thresholds) {
  return [thresholds = std::move(thresholds)](int64_t exit, const at::Tensor&, const at::Tensor& logits) {
    const double threshold = thresholds.at(thresholds.size() == 1 ? 0 : static_cast<size_t>(exit));
    return at::amax(at::softmax(logits, 1), 1) >= threshold;
  };
}

double calibrated_threshold(const EarlyExits& exits, const ExitFeatures& held_out,
                            const std::vector<double>& grid, double bound, double confidence) {
  constexpr double kNobody = 2;
  const double needed = 2 * std::ceil(std::log(1 - confidence) / std::log1p(-bound));
  double chosen = kNobody;
  for (const double threshold : grid) {
    const auto answer = exits.answer(held_out, confidence_rule({threshold}));
    const auto left = answer.exit.lt(exits.exits());
    const auto count = left.sum().item<int64_t>();
    if (static_cast<double>(count) < needed) continue;
    const auto wrong = answer.logits.argmax(1).ne(held_out.label).logical_and(left).sum().item<int64_t>();
    if (binomial_below(wrong, count, bound) > 1 - confidence) break;
    chosen = threshold;
  }
  return chosen;
}

double calibration_error(const at::Tensor& logits, const at::Tensor& label) {
  constexpr int64_t kBins = 10;
  const auto p = at::softmax(logits, 1);
  const auto sure = at::amax(p, 1).to(at::kDouble), right = p.argmax(1).eq(label).to(at::kDouble);
  const auto bin = (sure * kBins).floor().clamp_max(kBins - 1);
  double sum = 0;
  for (int64_t b = 0; b < kBins; ++b) {
    const auto in = bin.eq(static_cast<double>(b));
    if (in.any().item<bool>()) sum += std::abs((sure - right).masked_select(in).sum().item<double>());
  }
  return sum / static_cast<double>(std::max<int64_t>(label.numel(), 1));
}

}  // namespace gw::inline train
