#include "gatewright/train/customise.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <cmath>
#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/loader.h"
#include "gatewright/models/watched_neurons.h"
#include "gatewright/ops/init.h"
#include "gatewright/ops/step_log.h"
#include "gatewright/train/optimizer.h"

namespace gw::inline train {
namespace {

Features rows_of(const Features& f, const at::Tensor& rows) {
  return {f.feature.index_select(0, rows), f.logits.index_select(0, rows), f.label.index_select(0, rows)};
}

at::Tensor right(const Features& f) { return f.logits.argmax(1).eq(f.label); }

/// φ beside how sure the global expert is: its largest probability, and its entropy.
at::Tensor gate_input(const Features& f) {
  const auto log_p = at::log_softmax(f.logits, 1), p = log_p.exp();
  return at::cat({f.feature, p.amax({1}, true), -(p * log_p).sum(1, true)}, 1);
}

at::Tensor feature_in(const ops::StepLog& log, int64_t rows) {
  at::Tensor found;
  for (const auto& step : log.steps()) {
    if (step.kind == ops::Step::Kind::kLinear) found = step.x;
  }
  GW_CHECK(
      found.defined() && found.dim() == 2 && found.size(0) == rows,
      "customise: expected a dense network with one last linear layer, got one whose last layer sees {} of "
      "{} rows; take experts = 1",
      found.defined() ? found.size(0) : 0, rows);
  return found;
}

}  // namespace

Features features_of(Model& model, const TensorSet& set, const std::function<bool()>& stop) {
  constexpr int64_t kRowsAtOnce = 256;
  const at::NoGradGuard no_grad;
  model.eval();
  const Loader loader(set, kRowsAtOnce, {}, false, Rng(0));
  auto* watched = dynamic_cast<WatchedNeurons*>(&model);
  std::vector<at::Tensor> feature, logits;
  for (int64_t b = 0; b < loader.batches(); ++b) {
    if (stop && stop()) throw Interrupted("interrupted while answering; nothing is kept of this arm");
    const auto batch = loader.get(0, b);
    Pass pass;
    pass.train = false;
    if (watched != nullptr) {
      std::vector<at::Tensor> hidden;
      logits.push_back(watched->watched_answer(batch, pass, hidden).answer);
      feature.push_back(hidden.back());
      continue;
    }
    const ops::StepLog log;
    logits.push_back(model.answer(batch, pass).answer);
    feature.push_back(feature_in(log, batch.size()));
  }
  return {at::cat(feature), at::cat(logits), set.at("label")};
}

SmallPerceptron::SmallPerceptron(const at::Tensor& x, int64_t answers, const Fit& fit, const Rng& rng,
                                 const std::function<at::Tensor(const at::Tensor& answer)>& loss) {
  mean_ = x.mean(0);
  scale_ = (x - mean_).square().mean(0).sqrt().clamp_min(1e-6);
  const int64_t in = x.size(1);
  std::vector<std::pair<int64_t, int64_t>> shapes{{fit.hidden > 0 ? fit.hidden : answers, in}};
  if (fit.hidden > 0) shapes.emplace_back(answers, fit.hidden);
  std::vector<NamedParameter> parameters;
  for (size_t l = 0; l < shapes.size(); ++l) {
    const auto& [out, width] = shapes[l];
    weight_.push_back(ops::default_uniform(rng.fork("weight", l), {out, width}).requires_grad_(true));
    bias_.push_back(at::zeros({out}).requires_grad_(true));
    parameters.push_back({"weight" + std::to_string(l), weight_.back()});
    parameters.push_back({"bias" + std::to_string(l), bias_.back()});
  }
  auto optimizer = make_part<Optimizer>("adamw", {{"weight_decay", fit.decay}}, {parameters});
  const auto z = (x - mean_) / scale_;
  const at::AutoGradMode with_gradients(true);
  for (int64_t step = 0; step < fit.steps; ++step)
    optimizer->step(torch::autograd::grad({loss(run(z))}, optimizer->values()), fit.lr);
  for (auto* all : {&weight_, &bias_})
    for (auto& t : *all) t = t.detach();
}

at::Tensor SmallPerceptron::run(const at::Tensor& z) const {
  auto y = z;
  for (size_t l = 0; l < weight_.size(); ++l) {
    if (l > 0) y = at::relu(y);
    y = at::linear(y, weight_[l], bias_[l]);
  }
  return y;
}

at::Tensor SmallPerceptron::forward(const at::Tensor& x) const { return run((x - mean_) / scale_); }

int64_t SmallPerceptron::parameters() const {
  int64_t count = 0;
  for (size_t l = 0; l < weight_.size(); ++l) count += weight_[l].numel() + bias_[l].numel();
  return count;
}

int64_t SmallPerceptron::macs() const {
  int64_t count = 0;
  for (const auto& w : weight_) count += w.numel();
  return count;
}

void CustomiseOptions::fields(OptionVisitor& v) {
  v.integer("hidden", hidden, "hidden values of the local expert; 0: linear", 0, 1 << 16);
  v.integer("gate_hidden", gate_hidden, "hidden values of the gate; 0: linear", 0, 1 << 16);
  v.integer("folds", folds, "parts of the user's images that tell the gate what an unseen answer is worth", 2,
            1000);
  v.integer("steps", steps, "of both fits", 1, 1000000);
  v.real("lr", lr, "learning rate of both fits", 1e-6, 10);
  v.real("decay", decay, "weight decay of both fits", 0, 100);
  v.real("emphasis", emphasis, "weight of images that the global network gets wrong", 0, 1e6);
  v.real("drop", drop, "share of everybody's images whose right answer the gate may cost", 0, 1);
}

SmallPerceptron Customised::fit_local(const Features& own, const at::Tensor& rows, const CustomiseOptions& o,
                                      const Rng& rng) const {
  const auto seen = rows_of(own, rows);
  const auto weight = at::where(right(seen), 1.0, o.emphasis).to(at::kFloat);
  return {
      seen.feature, own.logits.size(1), {o.hidden, o.steps, o.lr, o.decay}, rng, [&](const at::Tensor& y) {
        const auto each = at::cross_entropy_loss(y, seen.label, {}, at::Reduction::None);
        return (each * weight).sum() / weight.sum();
      }};
}

Customised::Customised(const Features& own, const Features& gate, const Features& threshold,
                       const CustomiseOptions& o, const Rng& rng) {
  const int64_t n = own.label.numel();
  GW_CHECK(n >= 2 * o.folds && gate.label.numel() > 0 && threshold.label.numel() > 0,
           "customise: expected at least {} images of the user and some of everybody, got {}, {} and {}",
           2 * o.folds, n, gate.label.numel(), threshold.label.numel());
  const auto order = at::tensor(rng.fork("folds").permutation(n), at::kLong);
  auto said = at::empty({n}, at::kLong);
  for (int64_t k = 0; k < o.folds; ++k) {
    const auto held = at::arange(n, at::kLong).remainder(o.folds).eq(k);
    const auto rows = order.masked_select(held.logical_not()), rest = order.masked_select(held);
    const auto part = fit_local(own, rows, o, rng.fork("fold", static_cast<uint64_t>(k)));
    said.index_copy_(0, rest, part.forward(own.feature.index_select(0, rest)).argmax(1));
  }
  local_ = std::make_shared<SmallPerceptron>(fit_local(own, at::arange(n, at::kLong), o, rng.fork("local")));
  fit_gate(own, said, gate, o, rng.fork("gate"));
  set_threshold(threshold, o.drop);
}

void Customised::fit_gate(const Features& own, const at::Tensor& local, const Features& everybody,
                          const CustomiseOptions& o, const Rng& rng) {
  const auto global_right = right(own), local_right = local.eq(own.label);
  const auto counts = global_right.logical_or(local_right).nonzero().squeeze(1);
  const auto wanted = global_right.logical_not().logical_and(local_right).index_select(0, counts);
  if (!wanted.any().item<bool>()) return;
  const auto x = at::cat({gate_input(rows_of(own, counts)), gate_input(everybody)});
  const auto target = at::cat({wanted.to(at::kFloat), at::zeros({everybody.label.numel()})}).unsqueeze(1);
  const double ones = target.sum().item<double>(), zeros = static_cast<double>(target.numel()) - ones;
  const auto weight = at::where(target.gt(0.5), 0.5 / ones, 0.5 / std::max(zeros, 1.0)).to(at::kFloat);
  gate_ = std::make_shared<SmallPerceptron>(
      x, 1, SmallPerceptron::Fit{o.gate_hidden, o.steps, o.lr, o.decay}, rng, [&](const at::Tensor& y) {
        return (at::binary_cross_entropy_with_logits(y, target, {}, {}, at::Reduction::None) * weight).sum();
      });
}

at::Tensor Customised::sure(const Features& f) const {
  if (!gate_) return at::full({f.label.numel()}, -std::numeric_limits<float>::infinity());
  return gate_->forward(gate_input(f)).squeeze(1);
}

/// Whoever answers, the loss among everybody rises only where the local expert takes a right answer away.
void Customised::set_threshold(const Features& everybody, double drop) {
  const auto score = sure(everybody).to(at::kDouble).contiguous();
  const auto before = right(everybody).to(at::kLong),
             after = local(everybody).eq(everybody.label).to(at::kLong);
  const auto change = (after - before).contiguous();
  const auto order = score.argsort(/*dim=*/0, /*descending=*/true).contiguous();
  const auto allowed = drop * static_cast<double>(score.numel());
  threshold_ = std::nextafter(score.max().item<double>(), std::numeric_limits<double>::infinity());
  int64_t gained = 0;
  for (int64_t i = 0; i < order.numel(); ++i) {
    const int64_t place = order[i].item<int64_t>();
    gained += change[place].item<int64_t>();
    const double here = score[place].item<double>();
    const bool last = i + 1 == order.numel();
    const double next =
        last ? -std::numeric_limits<double>::infinity() : score[order[i + 1].item<int64_t>()].item<double>();
    if (next == here) continue;  // equal scores go together
    if (-static_cast<double>(gained) > allowed) break;
    threshold_ = last ? next : (here + next) / 2;
  }
}

at::Tensor Customised::local(const Features& f) const { return local_->forward(f.feature).argmax(1); }

at::Tensor Customised::handed(const Features& f) const {
  return gate_ ? sure(f).to(at::kDouble).ge(threshold_) : at::zeros({f.label.numel()}, at::kBool);
}

at::Tensor Customised::answers(const Features& f) const {
  return at::where(handed(f), local(f), f.logits.argmax(1));
}

}  // namespace gw::inline train
