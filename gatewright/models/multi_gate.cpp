#include "gatewright/models/multi_gate.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/ops/activation.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/init.h"
#include "gatewright/ops/random.h"

namespace gw::inline models {
namespace {

/// What the level before left, side by side; the row where nothing is named.
at::Tensor read_of(const std::vector<int64_t>& from, const at::Tensor& row,
                   const std::vector<at::Tensor>& before) {
  if (from.empty()) return row;
  std::vector<at::Tensor> read;
  for (const int64_t gate : from) read.push_back(before.at(static_cast<size_t>(gate)));
  return read.size() == 1 ? read.front() : at::cat(read, 1);
}

int64_t width_of(const std::vector<int64_t>& from, const std::vector<int64_t>& widths, int64_t row) {
  int64_t sum = from.empty() ? row : 0;
  for (const int64_t gate : from) sum += widths.at(static_cast<size_t>(gate));
  return sum;
}

/// How many gates of the level list the set.
int64_t seen_by(const Wiring::Level& level, int64_t set) {
  return std::count_if(level.gates.begin(), level.gates.end(), [&](const auto& gate) {
    return std::find(gate.sets.begin(), gate.sets.end(), set) != gate.sets.end();
  });
}

std::string expert_name(const Wiring::Set& set, int64_t expert, int64_t level) {
  return fmt::format("{} {}{}", set.name, expert, level > 0 ? fmt::format(" of level {}", level + 1) : "");
}

}  // namespace

void MultiGateOptions::fields(OptionVisitor& v) {
  v.integer("hidden", hidden, "width of each expert's hidden layer; 0: an expert is one layer", 0, 1 << 16);
  v.integer("width", width, "width of each expert's answer", 1, 1 << 16);
  v.integer("tower", tower, "width of the hidden layer of each answer's tower", 1, 1 << 16);
  v.text("activation", activation, "of experts and towers, one of `gatewright list activations`");
}

std::vector<std::string> MultiGateModel::parts_of(const char* name, const Context& context) {
  GW_CHECK(context.data.inputs > 0, "networks/{}: expected data with the field \"x\", got none; take table",
           name);
  GW_CHECK(!context.answer.per_token,
           "networks/{}: expected a task with answers for each row, got one for each token", name);
  std::vector<std::string> names;
  for (const auto& part : context.answer.parts) names.push_back(part.name);
  if (names.empty()) names.emplace_back("answer");
  return names;
}

MultiGateModel::MultiGateModel(const char* name, const Context& context, const MultiGateOptions& options,
                               ExpertForm form, const Wiring& wiring)
    : Model("MultiGateModel"),
      part_(std::string("networks/") + name),
      inputs_(context.data.inputs),
      form_(std::move(form)) {
  form_.hidden = options.hidden, form_.width = options.width;
  form_.activation = ops::ActivationFunction(part_, options.activation);
  auto parts = context.answer.parts;
  if (parts.empty()) parts.push_back({"answer", context.answer.width});
  GW_ENSURE(!wiring.levels.empty() && wiring.levels.back().gates.size() == parts.size(),
            "{}: expected a gate of the last level for each of {} answers", part_, parts.size());
  const Rng rng = Rng(context.seed).fork(part_);
  std::vector<int64_t> widths;
  for (size_t l = 0; l < wiring.levels.size(); ++l) {
    add_level(wiring.levels[l], widths, static_cast<int64_t>(l), rng.fork("level", l));
    widths.assign(wiring.levels[l].gates.size(), form_.width);
  }
  for (size_t t = 0; t < parts.size(); ++t) {
    const auto stream = rng.fork("tower", t);
    const auto label = "tower" + std::to_string(t);
    towers_.push_back(
        {register_module(label, std::make_shared<Linear>(form_.width, options.tower, stream.fork("hidden"))),
         register_module(label + "_out",
                         std::make_shared<Linear>(options.tower, parts[t].width, stream.fork("out")))});
  }
}

MultiGateModel::Gate MultiGateModel::make_gate(const Wiring::Level& wiring, size_t index,
                                               const std::vector<std::vector<int64_t>>& places, int64_t in,
                                               const std::string& label, const Rng& rng) {
  Gate gate{wiring.gates[index], {}, {}, {}, {}, {}};
  for (const int64_t set : gate.wiring.sets) {
    const auto& of_set = places.at(static_cast<size_t>(set));
    gate.experts.insert(gate.experts.end(), of_set.begin(), of_set.end());
    if (seen_by(wiring, set) == 1) gate.own.insert(gate.own.end(), of_set.begin(), of_set.end());
  }
  // ".gate." in a name makes it a parameter of the router; names of parameters hold no dots.
  auto module = register_module(label, std::make_shared<torch::nn::Module>());
  auto inner = module->register_module("gate", std::make_shared<torch::nn::Module>());
  const auto count = static_cast<int64_t>(gate.experts.size());
  gate.weight = inner->register_parameter("weight", ops::default_uniform(rng, {count, in}));
  if (gate.wiring.self >= 0) {
    gate.of_self = places.at(static_cast<size_t>(gate.wiring.self));
    const auto own = static_cast<int64_t>(gate.of_self.size());
    gate.self = inner->register_parameter("self", ops::default_uniform(rng.fork("self"), {own, in}));
  }
  return gate;
}

void MultiGateModel::add_level(const Wiring::Level& wiring, const std::vector<int64_t>& widths, int64_t index,
                               const Rng& rng) {
  Level level;
  level.sets = wiring.sets;
  const auto label = "level" + std::to_string(index);
  std::vector<std::vector<int64_t>> places;
  for (size_t s = 0; s < wiring.sets.size(); ++s) {
    const auto& set = wiring.sets[s];
    level.experts.push_back(
        register_module(label + "_set" + std::to_string(s),
                        std::make_shared<ExpertSet>(set.count, width_of(set.from, widths, inputs_), form_,
                                                    rng.fork("set", s))));
    places.emplace_back();
    for (int64_t e = 0; e < set.count; ++e) {
      places.back().push_back(static_cast<int64_t>(level.names.size()));
      level.names.push_back(expert_name(set, e, index));
    }
  }
  for (size_t g = 0; g < wiring.gates.size(); ++g)
    level.gates.push_back(make_gate(wiring, g, places, width_of(wiring.gates[g].from, widths, inputs_),
                                    label + "_" + std::to_string(g), rng.fork("gate", g)));
  levels_.push_back(std::move(level));
}

at::Tensor MultiGateModel::mixed(const Gate& gate, const at::Tensor& read,
                                 const std::vector<at::Tensor>& answers, int64_t first,
                                 ExpertUse& use) const {
  auto weight = at::softmax(ops::linear(read, gate.weight, {}), 1);
  if (gate.self.defined()) {
    const auto raw = ops::linear(read, gate.self, {});
    const auto extra = gate.of_self.size() == 1 ? at::sigmoid(raw) : at::softmax(raw, 1);
    const auto at = std::find(gate.experts.begin(), gate.experts.end(), gate.of_self.front());
    const auto skip = at - gate.experts.begin(), count = static_cast<int64_t>(gate.of_self.size());
    weight = weight + at::constant_pad_nd(extra, {skip, weight.size(1) - skip - count}, 0);
  }
  ExpertUse::Gate seen{gate.wiring.name, {}, {}, weight};
  for (const int64_t e : gate.experts) seen.experts.push_back(first + e);
  for (const int64_t e : gate.own) seen.own.push_back(first + e);
  use.gates.push_back(std::move(seen));
  at::Tensor sum;
  for (size_t i = 0; i < gate.experts.size(); ++i) {
    const auto& one = answers.at(static_cast<size_t>(gate.experts[i]));
    ops::CostRecorder::add(one.numel());
    const auto term = weight.narrow(1, static_cast<int64_t>(i), 1) * one;
    sum = sum.defined() ? sum + term : term;
  }
  return sum;
}

Output MultiGateModel::answer(const Batch& batch, const Pass& pass) {
  const auto& x = batch.at("x");
  GW_CHECK(x.dim() == 2 && x.size(1) == inputs_, "{}: expected rows [B, {}], got {} dimensions", part_,
           inputs_, x.dim());
  const bool train = pass.training(is_training());
  auto use = std::make_shared<ExpertUse>();
  std::vector<at::Tensor> before;
  for (const auto& level : levels_) {
    std::vector<at::Tensor> answers;
    for (size_t s = 0; s < level.sets.size(); ++s) {
      const auto of_set = level.experts[s]->forward(read_of(level.sets[s].from, x, before), train);
      answers.insert(answers.end(), of_set.begin(), of_set.end());
    }
    const auto first = static_cast<int64_t>(use->experts.size());
    use->experts.insert(use->experts.end(), level.names.begin(), level.names.end());
    for (const auto& one : answers) use->answers.push_back(one);
    std::vector<at::Tensor> after;
    for (const auto& gate : level.gates)
      after.push_back(mixed(gate, read_of(gate.wiring.from, x, before), answers, first, *use));
    before = std::move(after);
  }
  std::vector<at::Tensor> parts;
  for (size_t t = 0; t < towers_.size(); ++t)
    parts.push_back(
        towers_[t].out->forward(ops::activation(towers_[t].hidden->forward(before[t]), form_.activation)));
  return {at::cat(parts, 1), {}, use};
}

Batch MultiGateModel::example(int64_t count, const Rng& rng) const {
  Batch batch;
  batch.fields["x"] = ops::normal(rng.fork("x"), {count, inputs_}, 0, 1);
  batch.index = at::arange(count, at::kLong);
  return batch;
}

}  // namespace gw::inline models
