#include "gatewright/models/mixture_blocks.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/experts/traits.h"
#include "gatewright/models/frame_steps.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"

namespace gw::inline models {
namespace {

bool promises(const std::vector<std::string>& traits, const std::string& word) {
  return std::find(traits.begin(), traits.end(), word) != traits.end();
}

/// A trait "needs task" asks for the fact "task".
std::string need_in(const std::vector<std::string>& traits) {
  for (const auto& word : traits) {
    if (word.rfind("needs ", 0) == 0) return word.substr(6);
  }
  return "";
}

void check_part(const MixtureBlocks::Options& options, const char* kind, const Json& choice) {
  const auto chosen = part_choice(kind, choice);
  const auto& info = Registry::instance().info(kind, chosen.name);
  GW_CHECK(!promises(info.traits, "images"),
           "{}: expected a gate over tokens, got {} with the trait \"images\"; take linear", options.part,
           chosen.name);
  const auto need = need_in(info.traits);
  const bool given =
      need.empty() || std::find(options.facts.begin(), options.facts.end(), need) != options.facts.end();
  GW_CHECK(given, "{}: expected parts that need nothing but {}, got {}/{} with the trait \"needs {}\"",
           options.part, fmt::join(options.facts, ", "), kind, chosen.name, need);
}

/// The bank with its experts in this precision.
Json bank_in(const std::string& precision, const Json& choice, const char* part) {
  if (precision != "bf16") return choice;
  const auto chosen = part_choice("bank", choice);
  const auto& info = Registry::instance().info(Bank::kKind, chosen.name);
  GW_CHECK(
      promises(info.traits, kComputesInBf16),
      "{}: expected a bank with the trait \"{}\" for precision = \"bf16\", got banks/{} without it; take "
      "mlp, or precision = \"f32\"",
      part, kComputesInBf16, chosen.name);
  Json table = chosen.options;
  table["part"] = chosen.name, table["compute"] = "bf16";
  return table;
}

/// The gate of one block: gates that decide ahead must know whether they are first and last.
Json gate_of_block(const Json& choice, int64_t index, int64_t depth) {
  const auto chosen = part_choice("gate", choice);
  const auto& info = Registry::instance().info(Gate::kKind, chosen.name);
  if (!promises(info.traits, "scores for the next block")) return choice;
  Json table = chosen.options;
  table["part"] = chosen.name, table["first"] = index == 0, table["last"] = index == depth - 1;
  return table;
}

}  // namespace

at::Tensor RmsNorm::forward(const at::Tensor& x) const {
  return weight_ * (x * at::rsqrt(x.square().mean(-1, true) + 1e-6));
}

at::Tensor RmsNorm::of_frame(const at::Tensor& frame) const {
  const auto x = frame.contiguous(), scales = weight_.contiguous();
  auto out = at::empty_like(x);
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "RmsNorm", [&] {
    const auto* from = x.data_ptr<scalar_t>();
    const auto* w = scales.data_ptr<scalar_t>();
    auto* to = out.data_ptr<scalar_t>();
    const int64_t width = x.size(1);
    for (int64_t s = 0; s < x.size(0); ++s, from += width, to += width) {
      double sum = 0;
      for (int64_t c = 0; c < width; ++c) sum += static_cast<double>(from[c]) * static_cast<double>(from[c]);
      const auto scale = static_cast<scalar_t>(1 / std::sqrt(sum / static_cast<double>(width) + 1e-6));
      for (int64_t c = 0; c < width; ++c) to[c] = w[c] * (from[c] * scale);
    }
  });
  return out;
}

void visit_precision(OptionVisitor& v, std::string& precision) {
  v.text("precision", precision,
         "in which experts compute; bf16: weights, gradients, scores and all else stay f32", {"f32", "bf16"});
}

MixtureBlocks::MixtureBlocks(const Options& options) : torch::nn::Module("MixtureBlocks") {
  for (const char* own : {"in", "out", "seed"}) {
    GW_CHECK(!options.mixture.contains(own),
             "{}: expected no \"{}\" in \"mixture\", which follows from the model", options.part, own);
  }
  const MixtureOptions defaults;
  const Json gate = options.mixture.value("gate", defaults.gate.json());
  check_part(options, Gate::kKind, gate);
  check_part(options, Policy::kKind, options.mixture.value("policy", defaults.policy.json()));
  Json blocks = options.mixture;
  blocks["bank"] = bank_in(options.precision, blocks.value("bank", defaults.bank.json()), options.part);
  if (const auto own = blocks.value("shared_bank", Json()); !own.empty())
    blocks["shared_bank"] = bank_in(options.precision, own, options.part);
  for (int64_t i = 0; i < options.depth; ++i) {
    Json table = blocks;
    table["in"] = options.width, table["gate"] = gate_of_block(gate, i, options.depth);
    table["seed"] =
        static_cast<int64_t>(Rng(options.seed).fork("block", static_cast<uint64_t>(i)).key() >> 1);
    const auto name = std::to_string(i);
    norms_.push_back(register_module("norm" + name, std::make_shared<RmsNorm>(options.width)));
    mixtures_.push_back(register_module("mixture" + name, Mixture::from_json(table)));
    mixtures_.back()->set_site("mixture" + name);
  }
  experts_ = mixtures_.front()->policy().experts();
}

at::Tensor MixtureBlocks::forward(int64_t index, const at::Tensor& x, RouterInputs& inputs, const Pass& pass,
                                  std::vector<SitedPlan>& plans) {
  const auto i = static_cast<size_t>(index);
  auto own = pass;  // blocks draw apart
  own.rng = pass.rng.fork("block", static_cast<uint64_t>(index));
  auto out = mixtures_[i]->forward(norms_[i]->forward(x), inputs, own);
  inputs.scores = out.next_scores;
  plans.push_back({"mixture" + std::to_string(index), std::move(out.plan)});
  return x + out.y;
}

at::Tensor MixtureBlocks::step(int64_t index, const at::Tensor& frame) {
  const auto i = static_cast<size_t>(index);
  Pass own;
  own.train = false, own.losses = false;
  own.rng = own.rng.fork("block", static_cast<uint64_t>(index));
  auto y = mixtures_[i]->forward(norms_[i]->of_frame(frame), RouterInputs{}, own).y.contiguous();
  add_frame(frame, y);
  return y;
}

void MixtureBlocks::end_step() {
  for (auto& mixture : mixtures_) mixture->end_step();
}

Linear::Linear(int64_t in, int64_t out, const Rng& rng) : torch::nn::Module("Linear") {
  weight_ = register_parameter("weight", ops::default_uniform(rng, {out, in}));
  bias_ = register_parameter("bias", at::zeros({out}));
}

at::Tensor Linear::forward(const at::Tensor& x) const { return ops::linear(x, weight_, bias_); }

at::Tensor Linear::of_frame(const at::Tensor& frame) const {
  return frame_product(frame, weight_, weight_.size(0), bias_);
}

}  // namespace gw::inline models
