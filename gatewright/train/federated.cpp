#include "gatewright/train/federated.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "gatewright/base/check.h"
#include "gatewright/data/loader.h"
#include "gatewright/ops/init.h"

namespace gw::inline train {
namespace {

/// The mean over the parts of an update of how far each went.
double distance_of(const ClientUpdate& update, const FederatedWeights& now) {
  double sum = 0;
  for (size_t i = 0; i < update.chosen.size(); ++i)
    sum += (update.expert[i] - now.expert[static_cast<size_t>(update.chosen[i])]).norm().item<double>();
  return sum / static_cast<double>(update.chosen.size());
}

double length_of_step(const at::Tensor& sent, const at::Tensor& now) {
  return (sent.to(at::kDouble) - now.to(at::kDouble)).norm().item<double>();
}

}  // namespace

void FederatedOptions::fields(OptionVisitor& v) {
  v.text("method", method, "experts behind a gate, or one model for all", {"fedjets", "fedavg"});
  v.text("start", start, "what experts start from: the common expert, or weights of their own",
         {"common", "drawn"});
  v.integer("experts", experts, "that the server keeps", 1, 1000);
  v.integer("k", k, "experts that a client gets", 1, 1000);
  v.integer("rounds", rounds, "of training", 1, 1000000);
  v.integer("per_round", per_round, "clients of a round", 1, 1000000);
  v.integer("epochs", epochs, "passes of a client over its images in a round", 1, 10000);
  v.integer("batch", batch, "images of a step", 1, 1 << 20);
  v.integer("gate_hidden", gate_hidden, "hidden values of the gate", 1, 1 << 16);
  v.flag("anchors", anchors, "clients 0 … experts − 1 are anchors, each of an expert and its classes");
  v.flag("gate_learns", gate_learns, "false: the gate stays as it was drawn");
  v.real("lr", lr, "learning rate of clients", 1e-9, 100);
  v.real("anchor_share", anchor_share, "of the clients of a round, as far as there are so many", 0, 1);
  v.real("anchor_weight", anchor_weight, "of an anchor's loss for its own expert", 0, 1e6);
  v.real("absurd", absurd, "times the median of all that an update may go", 1, 1e12);
  rule.visit(v);
  v.table("clients", clients, "how many, and the images that each has");
}

at::Tensor flat_weights(const Model& model) {
  const at::NoGradGuard no_grad;
  for (const auto& buffer : model.named_buffers())
    GW_CHECK(!buffer.value().is_floating_point(),
             "federated: expected experts without statistics of batches, got \"{}\"; take the network "
             "\"gated_mlp\" with gates = false, say",
             buffer.key());
  std::vector<at::Tensor> parts;
  for (const auto& parameter : model.parameters()) parts.push_back(parameter.detach().flatten());
  return at::cat(parts);
}

void set_flat_weights(Model& model, const at::Tensor& weights) {
  const at::NoGradGuard no_grad;
  GW_CHECK(weights.dim() == 1 && weights.numel() == model.parameter_count(),
           "federated: expected {} weights of an expert, got {}", model.parameter_count(), weights.numel());
  int64_t at = 0;
  for (auto& parameter : model.parameters()) {
    parameter.copy_(weights.narrow(0, at, parameter.numel()).view(parameter.sizes()));
    at += parameter.numel();
  }
}

at::Tensor FederatedGate::drawn(const Rng& rng) const {
  return at::cat({ops::default_uniform(rng.fork("in"), {hidden, features}).flatten(), at::zeros({hidden}),
                  ops::default_uniform(rng.fork("out"), {experts, hidden}).flatten(), at::zeros({experts})});
}

at::Tensor FederatedGate::logits(const at::Tensor& weights, const at::Tensor& feature) const {
  int64_t at = 0;
  const auto next = [&](int64_t count) {
    at += count;
    return weights.narrow(0, at - count, count);
  };
  const auto in = next(hidden * features).view({hidden, features}), in_bias = next(hidden);
  const auto out = next(experts * hidden).view({experts, hidden}), out_bias = next(experts);
  const auto scaled = feature / (feature.square().mean(1, true) + 1e-6).sqrt();
  return at::linear(at::relu(at::linear(scaled, in, in_bias)), out, out_bias);
}

std::vector<int64_t> choose_experts(const at::Tensor& logits, int64_t k, int64_t anchor_of) {
  const auto score = at::softmax(logits.to(at::kDouble), 1).mean(0).contiguous();
  const auto* value = score.data_ptr<double>();
  std::vector<int64_t> order;
  for (int64_t e = 0; e < score.numel(); ++e) order.push_back(e);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    if ((a == anchor_of) != (b == anchor_of)) return a == anchor_of;
    return value[a] > value[b];
  });
  order.resize(static_cast<size_t>(std::min(k, score.numel())));
  std::sort(order.begin(), order.end());
  return order;
}

LocalTraining::LocalTraining(std::function<std::shared_ptr<Model>()> make, std::shared_ptr<Model> common,
                             const FederatedOptions& options, uint64_t seed)
    : make_(std::move(make)), common_(std::move(common)), options_(options), seed_(seed) {
  GW_CHECK(options.k <= options.experts || !options.gated(),
           "federated: expected k of at most {} experts, got {}", options.experts, options.k);
  for (int64_t i = 0; i < options.chosen(); ++i) experts_.push_back(make_());
  expert_size_ = flat_weights(*experts_[0]).numel();
  // One example tells how wide the features are.
  auto probe = common_->example(1, Rng(0));
  TensorSet one;
  one.fields["image"] = at::zeros(probe.at("image").sizes(), at::kByte);
  one.fields["label"] = at::zeros({1}, at::kLong);
  gate_ = {features_of(*common_, one).feature.size(1), options.gate_hidden, options.expert_count()};
}

const Features& LocalTraining::features(int64_t client, const TensorSet& own) {
  const auto found = features_.find(client);
  if (found != features_.end()) return found->second;
  return features_.emplace(client, features_of(*common_, own)).first->second;
}

at::Tensor LocalTraining::gate_logits(int64_t client, const TensorSet& own, const at::Tensor& gate) {
  GW_CHECK(own.size() > 0, "federated: expected images of client {}, got none; leave it out", client);
  const at::NoGradGuard no_grad;
  return gate_.logits(gate, features(client, own).feature);
}

at::Tensor LocalTraining::loss(const Batch& batch, const at::Tensor& feature,
                               const std::vector<int64_t>& chosen, const at::Tensor& gate,
                               int64_t anchor_of) {
  Pass pass;
  pass.train = true;
  const auto label = batch.at("label");
  if (!gate.defined()) return at::cross_entropy_loss(experts_[0]->answer(batch, pass).answer, label);
  const auto logits = gate_.logits(gate, feature);
  const auto p = at::softmax(logits.index_select(1, at::tensor(chosen, at::kLong)), 1);
  at::Tensor mixed;
  for (size_t i = 0; i < chosen.size(); ++i) {
    const auto part = experts_[i]->answer(batch, pass).answer * p.narrow(1, static_cast<int64_t>(i), 1);
    mixed = mixed.defined() ? mixed + part : part;
  }
  auto value = at::cross_entropy_loss(mixed, label);
  if (anchor_of >= 0)
    value = value + options_.anchor_weight * at::cross_entropy_loss(logits, at::full_like(label, anchor_of));
  return value;
}

ClientUpdate LocalTraining::learn(int64_t client, int64_t round, const TensorSet& own,
                                  const std::vector<int64_t>& chosen, const std::vector<at::Tensor>& expert,
                                  const at::Tensor& gate, int64_t anchor_of) {
  GW_CHECK(chosen.size() == expert.size() && !chosen.empty() && chosen.size() <= experts_.size(),
           "federated: expected weights of the {} chosen experts, got {}", chosen.size(), expert.size());
  GW_CHECK(own.size() > 0, "federated: expected images of client {}, got none; leave it out", client);
  std::vector<at::Tensor> values;
  for (size_t i = 0; i < chosen.size(); ++i) {
    set_flat_weights(*experts_[i], expert[i]);
    for (const auto& parameter : experts_[i]->parameters()) values.push_back(parameter);
  }
  at::Tensor own_gate;
  if (options_.gated()) own_gate = gate.clone().requires_grad_(options_.gate_learns);
  if (options_.gated() && options_.gate_learns) values.push_back(own_gate);
  const auto rng =
      Rng(seed_).fork("client", static_cast<uint64_t>(client)).fork("round", static_cast<uint64_t>(round));
  const Loader loader(own, options_.batch, {}, true, rng);
  const at::AutoGradMode with_gradients(true);
  for (int64_t epoch = 0; epoch < options_.epochs; ++epoch) {
    for (int64_t b = 0; b < loader.batches(); ++b) {
      const auto batch = loader.get(epoch, b);
      const auto feature = features(client, own).feature.index_select(0, batch.index);
      const auto value = loss(batch, feature, chosen, own_gate, anchor_of);
      if (!std::isfinite(value.item<double>()))
        throw NumericError(fmt::format("federated: the loss of client {} is not finite; lower lr", client));
      const auto gradients = torch::autograd::grad({value}, values);
      const at::NoGradGuard no_grad;
      for (size_t i = 0; i < values.size(); ++i) values[i].sub_(gradients[i], options_.lr);
    }
  }
  ClientUpdate update{client, own.size(), chosen, {}, options_.gated() ? own_gate.detach() : at::Tensor()};
  for (size_t i = 0; i < chosen.size(); ++i) update.expert.push_back(flat_weights(*experts_[i]));
  return update;
}

std::string update_problem(const ClientUpdate& u, const FederatedWeights& now, int64_t k,
                           int64_t most_samples) {
  const auto experts = static_cast<int64_t>(now.expert.size());
  const std::set<int64_t> distinct(u.chosen.begin(), u.chosen.end());
  if (static_cast<int64_t>(u.chosen.size()) != k || distinct.size() != u.chosen.size() ||
      *distinct.begin() < 0 || *distinct.rbegin() >= experts || u.expert.size() != u.chosen.size())
    return fmt::format("expected {} experts below {}, got others", k, experts);
  if (u.samples < 1 || u.samples > most_samples)
    return fmt::format("expected 1 to {} examples, got {}", most_samples, u.samples);
  const auto problem = [](const at::Tensor& sent, const at::Tensor& held, const char* what) -> std::string {
    if (!sent.defined() || sent.scalar_type() != at::kFloat || sent.sizes() != held.sizes())
      return fmt::format("expected {} weights of {}, got {}", held.numel(), what,
                         sent.defined() ? sent.numel() : 0);
    if (!at::isfinite(sent).all().item<bool>()) return fmt::format("weights of {} are not finite", what);
    return "";
  };
  for (size_t i = 0; i < u.chosen.size(); ++i) {
    const auto why = problem(u.expert[i], now.expert[static_cast<size_t>(u.chosen[i])], "an expert");
    if (!why.empty()) return why;
  }
  return now.gate.defined() ? problem(u.gate, now.gate, "the gate") : "";
}

std::vector<size_t> absurd_updates(const std::vector<ClientUpdate>& updates, const FederatedWeights& now,
                                   double absurd) {
  std::vector<size_t> found;
  if (updates.size() < 3) return found;
  std::vector<double> distance;
  for (const auto& update : updates) distance.push_back(distance_of(update, now));
  auto sorted = distance;
  std::sort(sorted.begin(), sorted.end());
  const double median = sorted[sorted.size() / 2];
  for (size_t i = 0; i < distance.size(); ++i)
    if (distance[i] > absurd * median) found.push_back(i);
  return found;
}

void aggregate(const std::vector<ClientUpdate>& updates, FederatedWeights& weights, const RobustRule& rule) {
  std::vector<std::vector<SentVector>> sent(weights.expert.size());
  std::vector<SentVector> of_gate;
  std::vector<double> steps, gate_steps;
  const bool clips = rule.name == "clipped";
  for (const auto& update : updates) {
    const auto n = static_cast<double>(update.samples);
    for (size_t i = 0; i < update.chosen.size(); ++i) {
      const auto e = static_cast<size_t>(update.chosen[i]);
      sent[e].push_back({update.expert[i], n});
      if (clips) steps.push_back(length_of_step(update.expert[i], weights.expert[e]));
    }
    if (!weights.gate.defined()) continue;
    of_gate.push_back({update.gate, n});
    if (clips) gate_steps.push_back(length_of_step(update.gate, weights.gate));
  }
  const double limit = steps_limit(steps, rule), gate_limit = steps_limit(gate_steps, rule);
  for (size_t e = 0; e < sent.size(); ++e)
    if (!sent[e].empty()) weights.expert[e] = robust_mean(weights.expert[e], sent[e], rule, limit);
  if (!of_gate.empty()) weights.gate = robust_mean(weights.gate, of_gate, rule, gate_limit);
}

}  // namespace gw::inline train
