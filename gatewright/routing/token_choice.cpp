#include "gatewright/routing/token_choice.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/inputs.h"
#include "gatewright/routing/select.h"

namespace gw::inline routing {

void ChoiceOptions::fields(OptionVisitor& v) {
  v.real("jitter", jitter, "relative noise on the scores while training", 0, 1);
  v.real("noise", noise, "normal noise on the scores while training, standard deviation in units of 1/E", 0,
         1e6);
  v.flag("renormalise", renormalise, "kept weights sum to one");
  v.text("renormalise_when", renormalise_when, "over the chosen experts, or over those with room",
         {"before_drop", "after_drop"});
  v.real("scale", scale, "factor on the weights, after renormalisation", 0, 1e6);
  v.flag("selection_bias", selection_bias,
         "a bias per expert in the choice, never in the weights; adjusted by balancers/bias_update");
  v.real("capacity_factor", capacity_factor,
         "rows per expert over an even share T*K/E, rounded up; 0: no limit", 0, 1e6);
  v.real("evaluation_capacity_factor", evaluation_capacity_factor, "the same in evaluation", 0, 1e6);
  v.integer("capacity", capacity, "rows per expert whatever the number of tokens; 0: from the factors", 0,
            INT64_MAX);
  v.integer("capacity_multiple", capacity_multiple, "the capacity is rounded up to a multiple", 1, 1 << 20);
  v.text("drop_order", drop_order,
         "who finds room first: by position, or by largest weight before renormalisation",
         {"position", "priority"});
  v.text("overflow", overflow,
         "a row without room: dropped, sent to the next best expert, or passed around the experts",
         {"drop", "next", "bypass"});
  v.integer("local_groups", local_groups,
            "neighbouring tokens share room in so many groups, each with the capacity of its size", 1,
            1 << 20);
  v.text("room", room,
         "who shares the capacity: the tokens of a batch, or neighbours of one sequence where sequences are "
         "known",
         {"batch", "sequence"});
  v.real("expert_masking", expert_masking,
         "share of rows masked while training; weights shrink by it in evaluation (expert output masking, "
         "NLLB team 2022, arXiv 2207.04672)",
         0, 0.99);
}

TokenChoice::TokenChoice(const char* part, const PolicyTraits& traits, const ChoiceOptions& options,
                         int64_t experts, int64_t k, bool fixed)
    : part_(part), traits_(traits), options_(options), experts_(experts), k_(k) {
  GW_CHECK(!fixed || k <= experts,
           "{}: expected at least {} experts, as many as a token may have, got {}; raise experts", part, k,
           experts);
  GW_CHECK(k <= experts, "{}: expected k <= experts ({}), got {}; lower k or raise experts", part, experts,
           k);
  GW_CHECK(k >= 1, "{}: expected at least one expert per token, got {}", part, k);
  GW_CHECK(options.room == "batch" || options.local_groups == 1,
           "{}: expected local_groups = 1 with room = \"sequence\", got {}; a sequence is a group", part,
           options.local_groups);
  if (options.selection_bias) bias_ = at::zeros({experts});
}

void TokenChoice::require_renormalised(const char* part, const ChoiceOptions& options) {
  GW_CHECK(options.renormalise,
           "{}: expected renormalise = true, the softmax over the chosen is its definition; without it, take "
           "policies/softmax_top_k",
           part);
}

PolicyTraits TokenChoice::traits() const {
  auto traits = traits_;
  const bool limited =
      options_.capacity > 0 || options_.evaluation_capacity_factor > 0 || options_.capacity_factor > 0;
  if (limited) {
    traits.batch_dependent = true;
    traits.order_dependent = traits.order_dependent || options_.drop_order == "position" ||
                             options_.local_groups > 1 || options_.room == "sequence";
    traits.drops_tokens = traits.drops_tokens || options_.overflow != "next";
  }
  traits.by_lead = traits.by_lead && !limited && !options_.selection_bias;
  // Dropping after renormalisation, scaling and masking all leave another sum.
  const bool lossy = limited && options_.renormalise_when == "before_drop";
  const bool renormalised = traits_.sums_to_one || options_.renormalise;
  traits.sums_to_one = renormalised && !lossy && options_.scale == 1 && options_.expert_masking == 0;
  return traits;
}

NamedTensors TokenChoice::state() const {
  if (!bias_.defined()) return {};
  return {{"selection_bias", bias_}};
}

at::Tensor TokenChoice::biased(const at::Tensor& preference, const at::Tensor& scores) const {
  const auto plain = preference.detach();
  const auto result = bias_.defined() ? plain + bias_.to(plain.scalar_type()) : plain;
  if (preference.is_same(scores) || scores.size(0) == 0) return result;
  const auto masked = scores.detach().le(kMaskedScore / 2);
  return masked.any().item<bool>() ? result.masked_fill(masked, kMaskedScore) : result;
}

at::Tensor TokenChoice::disturbed(const at::Tensor& scores, bool train, const Rng& rng) const {
  auto result = scores;
  if (train && options_.jitter > 0) {
    result =
        result *
        ops::uniform(rng, scores.sizes(), 1 - options_.jitter, 1 + options_.jitter).to(scores.scalar_type());
  }
  if (train && options_.noise > 0) {
    const double deviation = options_.noise / static_cast<double>(experts_);
    result = result + ops::normal(rng.fork("noise"), scores.sizes(), 0, deviation).to(scores.scalar_type());
  }
  return result;
}

int64_t TokenChoice::capacity(int64_t tokens, bool train) const {
  const double factor = train ? options_.capacity_factor : options_.evaluation_capacity_factor;
  if (options_.capacity == 0 && factor == 0) return INT64_MAX;
  // The small subtraction keeps 1.1·10 from becoming 12 rows.
  const double even = static_cast<double>(tokens * k_) * factor / static_cast<double>(experts_);
  const int64_t rows = options_.capacity > 0
                           ? options_.capacity
                           : std::max<int64_t>(1, static_cast<int64_t>(std::ceil(even - 1e-9)));
  return rounded(rows, tokens);
}

int64_t TokenChoice::rounded(int64_t rows, int64_t tokens) const {
  if (rows >= tokens) return rows;
  return (rows + options_.capacity_multiple - 1) / options_.capacity_multiple * options_.capacity_multiple;
}

namespace {

at::Tensor gathered(const at::Tensor& table, const at::Tensor& expert) {
  const auto weight = table.gather(1, expert.clamp_min(0));
  const auto empty = expert.lt(0);
  return weight.masked_fill(empty, 0);
}

}  // namespace

at::Tensor TokenChoice::weigh(const Choice& choice, const at::Tensor& kept) const {
  return gathered(choice.table, kept);
}

at::Tensor TokenChoice::covering(const at::Tensor& pair, const at::Tensor& kept) {
  const int64_t width = std::max(pair.size(1), kept.size(1)), tokens = kept.size(0);
  const auto widened = [&](const at::Tensor& ids) {
    return ids.size(1) == width ? ids
                                : at::cat({ids, at::full({tokens, width - ids.size(1)}, -1, at::kLong)}, 1);
  };
  const auto inside = kept.unsqueeze(2).eq(pair.unsqueeze(1)).any(2).logical_or(kept.lt(0)).all(1, true);
  return at::where(inside, widened(pair), widened(kept));
}

std::vector<int64_t> TokenChoice::sharing(int64_t tokens, const at::Tensor& sequence) const {
  std::vector<int64_t> sizes;
  if (tokens > 0 && options_.room == "sequence" && sequence.defined()) {
    const auto id = required_ids(part_, "sequence", sequence, tokens, -1);
    const auto* ids = id.data_ptr<int64_t>();
    for (int64_t t = 0; t < tokens; ++t) {
      if (t == 0 || ids[t] != ids[t - 1]) sizes.push_back(0);
      ++sizes.back();
    }
    return sizes;
  }
  const int64_t each = (tokens + options_.local_groups - 1) / options_.local_groups;
  for (int64_t begin = 0; begin < tokens; begin += each)
    sizes.push_back(std::min(each, tokens - begin));  // the last may be smaller, and so is its room
  return sizes;
}

at::Tensor TokenChoice::fitted(const Choice& choice, const at::Tensor& ranking, bool train,
                               const at::Tensor& sequence) const {
  const auto sizes = sharing(choice.expert.size(0), sequence);
  const bool enough =
      std::all_of(sizes.begin(), sizes.end(), [&](int64_t n) { return capacity(n, train) >= n; });
  if (enough) return choice.expert;
  // Priority is by the weight before renormalisation, which leaves every K = 1 at one. Never by the ranking:
  // it may hold scores, whose offset differs from token to token, and the selection bias.
  const auto largest =
      options_.drop_order == "priority" ? weigh(choice, choice.expert).detach().amax(1) : at::Tensor();
  std::vector<at::Tensor> kept;
  int64_t begin = 0;
  for (const int64_t size : sizes) {
    const auto rank = ranking.narrow(0, begin, size);
    const auto order = largest.defined() ? by_priority(largest.narrow(0, begin, size)) : at::Tensor();
    kept.push_back(limit_rows(choice.expert.narrow(0, begin, size), experts_, capacity(size, train), order,
                              options_.overflow == "next" ? rank : at::Tensor()));
    begin += size;
  }
  return kept.size() == 1 ? kept[0] : at::cat(kept);
}

at::Tensor TokenChoice::weights(const Choice& choice, const at::Tensor& kept, bool train,
                                const Rng& rng) const {
  auto weight = weigh(choice, kept);
  const bool after = options_.renormalise_when == "after_drop" || options_.overflow == "next";
  if (options_.renormalise && choice.logits.defined()) {
    weight = chosen_softmax(choice.logits, kept, after ? kept : choice.expert);
  } else if (options_.renormalise) {
    const auto sum = (after ? weight : weigh(choice, choice.expert)).sum(1, true);
    weight = weight / at::where(sum.eq(0), at::ones_like(sum), sum);
  }
  if (options_.scale != 1) weight = weight * options_.scale;
  if (options_.expert_masking > 0) {
    const double share = options_.expert_masking;
    if (!train) return weight * (1 - share);
    weight =
        weight *
        ops::uniform(rng.fork("expert_masking"), weight.sizes(), 0, 1).ge(share).to(weight.scalar_type());
  }
  return weight;
}

bool TokenChoice::one_pass(const at::Tensor& scores, bool train) const {
  constexpr int64_t kKernel = 16;  // its list of the k best is for short lists
  const bool plain = !bias_.defined() && options_.capacity == 0 && options_.evaluation_capacity_factor == 0 &&
                     options_.expert_masking == 0;
  const bool thinned = thins() && (scores.scalar_type() != at::kFloat ||
                                   (at::GradMode::is_enabled() && scores.requires_grad()));
  return !train && plain && !thinned && score_function() != nullptr && k_ <= kKernel && scores.size(0) > 0 &&
         scores.device().is_cpu();
}

ops::TopK TokenChoice::chosen_in_one_pass(const at::Tensor& scores) const {
  auto chosen = ops::top_k(scores, k_, score_function(), options_.renormalise && !thins());
  if (chosen.weight.requires_grad()) chosen.expert = chosen.expert.clone();  // the backward pass reads them
  clear_masked(scores, chosen.expert);                                       // their weights are 0 already
  if (thins()) thin(chosen);
  if (options_.scale != 1) chosen.weight = chosen.weight * options_.scale;
  return chosen;
}

namespace {

/// Column 0 of ids [T, K]. For few tokens a copy by hand: a view costs 1 to 2 µs of calls.
at::Tensor first_of(const at::Tensor& expert) {
  constexpr int64_t kFew = 64;
  const int64_t tokens = expert.size(0), k = expert.size(1);
  if (tokens > kFew || !expert.is_contiguous()) return expert.select(1, 0);
  auto first = at::empty({tokens}, expert.options());
  const auto* from = expert.data_ptr<int64_t>();
  auto* to = first.data_ptr<int64_t>();
  for (int64_t t = 0; t < tokens; ++t) to[t] = from[t * k];
  return first;
}

}  // namespace

RoutingPlan TokenChoice::decided(const at::Tensor& scores, const at::Tensor& given, bool train,
                                 const Rng& rng, const at::Tensor& sequence) const {
  check_scores(part_, scores, columns());
  ops::TopK quick;
  if (one_pass(scores, train)) quick = chosen_in_one_pass(scores);
  if (quick.expert.defined() && (!given.defined() || at::equal(given, quick.expert))) {
    auto plan = make_plan(quick.expert, quick.weight, experts_);
    plan.scores = scores;
    plan.facts.first_choice = first_of(quick.expert);
    return plan;
  }
  const auto seen = disturbed(scores, train, rng);
  auto choice = choose(seen, train, rng.fork("choose"));
  if (given.defined()) choice.expert = covering(choice.expert, given);
  const auto ranking = (choice.ranking.defined() ? choice.ranking : choice.table).detach();
  const auto kept = given.defined() ? given : fitted(choice, ranking, train, sequence);
  auto weight = weights(choice, kept, train, rng);
  if (quick.expert.defined() &&
      kept.sizes() == quick.expert.sizes())  // tokens of the same experts, same bits
    weight = at::where(kept.eq(quick.expert).all(1, true), quick.weight, weight);
  auto plan = make_plan(kept, weight, experts_);
  plan.scores = choice.scores.defined() ? choice.scores : seen;
  if (choice.probability.defined()) plan.facts.probability = choice.probability;
  plan.aux = choice.aux;
  plan.facts.first_choice = choice.expert.select(1, 0);
  if (choice.deviation.defined()) {
    plan.facts.logits = choice.clean;
    plan.facts.noise_std = choice.deviation;
  } else if (train && options_.noise > 0) {
    plan.facts.logits = scores;
    plan.facts.noise_std = at::full_like(scores, options_.noise / static_cast<double>(experts_));
  }
  if (options_.overflow == "bypass" && kept.data_ptr() != choice.expert.data_ptr()) {
    const auto found = choice.expert.unsqueeze(2).eq(kept.unsqueeze(1)).any(2);
    const auto lost = choice.expert.ge(0).logical_and(found.logical_not());
    if (!given.defined() || lost.any().item<bool>())
      plan.bypass = weights(choice, choice.expert, train, rng).mul(lost.to(scores.scalar_type())).sum(1);
  }
  return plan;
}

}  // namespace gw::inline routing
